"""The permits of one record's calls: charged what an average call of the job takes, settled by actual use.

What a call reveals of its limit group is passed on from here: limits, failures, holds.
"""

import asyncio
import random
import time
from dataclasses import dataclass, replace

from app.core.limits.evidence import Weight
from app.core.limits.first_guess import BYTES_PER_TOKEN
from app.core.limits.limiter import LATE, CallTerms, Grant, is_hold
from app.core.limits.obstacle import Obstacle
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.core.requests.prompt_cache.layout import LIFETIMES
from app.core.worker.retries import LONGEST_WAIT, Decision
from app.core.worker.services import Services
from app.errors import Booking, ProviderError, RequestRejected
from app.providers import registry
from app.providers.client import RateLimits, Usage

OUTAGE = 10  # failures among a group's last 20 calls
COUNTED_ON = 0.8  # share of its lifetime for which a later call is expected to read what a provider keeps
DEBT = 0.005  # share of a limit by which a request may exceed its permit without taking a larger one


@dataclass(slots=True)
class Permit:
    """The right to one call of a group: its start on this process's monotonic clock, and what was charged."""

    group: str
    at: float
    probe: bool  # its call tries a held group
    input_tokens: int
    output_tokens: int
    per_byte: float  # about how many input tokens a byte of the job's requests makes
    grant: Grant  # which it is a part of

    @classmethod
    def of(cls, grant: Grant, terms: CallTerms, at: float) -> "Permit":
        per_byte = grant.estimate / terms.request_bytes
        return cls(terms.group, at, grant.probe, grant.input_tokens, grant.output_tokens, per_byte, grant)


class Permits:
    """A record has one permit at a time: for its next call, or of its latest."""

    def __init__(self, services: Services, job: JobContext, claim: Claim, permit: Permit) -> None:
        """`permit` came with the claim, for an average call of the job."""
        self._services, self._job, self._claim, self._permit = services, job, claim, permit

    @property
    def group(self) -> str:
        return self._permit.group

    @property
    def terms(self) -> CallTerms:
        return self._services.terms(self._job, self._permit.group)

    async def wait_for_start(self, model: str, max_tokens: int, *, used: bool) -> float | None:
        """Wait for a call's start, with a permit of its model's group that is large enough and not late.

        `used`: the present permit was spent on an earlier call. Returns None when the call may leave, or the
        seconds until then when they are too many to wait here. Raises `RequestRejected` for a call that could
        never pass.
        """
        terms = self._terms_of_call(model, max_tokens)
        if used or self._permit.group != terms.group or self._is_too_small(terms):
            if not used:
                await self._return_unused()
            delay = await self._renew(model, max_tokens)
        else:
            self._charge_difference()
            delay = None
        while delay is None:
            await asyncio.sleep(self._permit.at - time.monotonic())
            if time.monotonic() - self._permit.at <= LATE:
                return None
            await self._return_unused()
            delay = await self._renew(model, max_tokens)
        return delay

    def refund(self) -> None:
        """Give back the whole charge of a call that took nothing."""
        settlement = self._services.group_limits.settlement(self.terms)
        settlement.input_tokens -= self._permit.input_tokens
        settlement.output_tokens -= self._permit.output_tokens
        self._permit.input_tokens = self._permit.output_tokens = 0

    async def _return_unused(self) -> None:
        """Give back a permit of which no byte was sent, for another one."""
        self.refund()
        unused = replace(self._permit.grant, input_tokens=0, output_tokens=0)  # they are refunded
        await self._services.return_start(self.terms, unused)

    def settle(self, usage: Usage | None, seconds: float) -> None:
        """Charge what the call took beyond its permit, and calibrate by it.

        Where that is unknown (`usage` is None), the call took what its permit was charged.
        """
        self._services.group_limits.evidence(self.group).note_answer()
        input_tokens, output_tokens = self._counted(usage)
        settlement = self._services.group_limits.settlement(self.terms)
        settlement.input_tokens += input_tokens - self._permit.input_tokens
        settlement.output_tokens += output_tokens - self._permit.output_tokens
        settlement.bytes += self._claim.request_bytes
        settlement.answered_input += input_tokens
        settlement.answered_output += output_tokens
        settlement.calls += 1
        if usage is not None and usage.cache_read_tokens and self._claim.keep is not None:
            settlement.reads_for = LIFETIMES[self._claim.keep] * COUNTED_ON
        settlement.seconds += seconds
        self._permit.input_tokens = self._permit.output_tokens = 0  # settled: there is nothing to refund

    def _counted(self, usage: Usage | None) -> tuple[int, int]:
        """Input and output tokens that count toward the group's limits."""
        if usage is None:
            return self._permit.input_tokens, self._permit.output_tokens
        if registry.counts_tokens_together(self._permit.group):
            return usage.prompt_tokens + usage.output_tokens, usage.output_tokens
        input_tokens = usage.input_tokens + usage.cache_write_tokens
        if registry.cache_reads_count(self._permit.group):
            input_tokens += usage.cache_read_tokens
        return input_tokens, usage.output_tokens

    async def learn(self, limits: RateLimits | None) -> None:
        """Pass on the group's limits from a call's headers."""
        await self._services.group_limits.learn(self.group, limits)

    async def clear_hold(self) -> None:
        """End the hold of the group if this call, which the provider answered, was its probe."""
        if self._permit.probe:
            await self._services.group_limits.clear(self.group)

    async def count_failure(self, *, repeated: bool) -> bool:
        """Count a failed call; returns whether its group has an outage.

        It has one when half of its last 20 calls failed, and when its probe did. `repeated`: the call has
        been counted for another of its records.
        """
        group_limits, terms = self._services.group_limits, self.terms
        if not repeated:
            group_limits.settlement(terms).failed += 1
        return await group_limits.settle_now(terms) >= OUTAGE or self._permit.probe

    def booking(self, error: ProviderError) -> Booking:
        """How to book the call that ended with `error`."""
        return self._services.group_limits.evidence(self.group).booking(error)

    def weigh(self, error: ProviderError, *, outage: bool) -> Weight:
        """What the group's last calls here say of this failure: see `Evidence.weigh`."""
        evidence = self._services.group_limits.evidence(self.group)
        return evidence.weigh(error, probe=self._permit.probe, outage=outage)

    async def hold_group(self, decision: Decision, why: Obstacle) -> None:
        """Make every worker stop calling this group after one refusal."""
        if decision.slow_down:
            await self._services.group_limits.slow_down(self.terms)
        if decision.too_fast and self._permit.grant.burst:
            await self._services.group_limits.pace(self.group)
        if (hold := decision.hold) is not None:
            await self._services.group_limits.hold(
                self.group, hold.reason, hold.seconds, hold.every, probe=self._permit.probe, why=why
            )

    def _terms_of_call(self, model: str, max_tokens: int) -> CallTerms:
        """The terms of this very call; raises `RequestRejected` if it exceeds what a whole minute allows."""
        group = self._job.group if model == self._job.model else registry.limit_group(model)
        terms = self._services.terms(self._job, group).sized(self._counted_bytes(), max_tokens)
        allowed = terms.limits.input_tokens
        if allowed is not None and self._input_tokens() > allowed:
            raise RequestRejected(
                f"the request needs about {self._input_tokens():,} input tokens, and the limit group {group}"
                f" allows {allowed:,} a minute: make it smaller, or raise the limit",
                type="over_limit",
            )
        return terms

    def _is_too_small(self, terms: CallTerms) -> bool:
        """Whether the request exceeds its permit, an average call's, by too much to be settled as debt."""
        excess = self._input_tokens() - self._permit.input_tokens
        allowed = terms.limits.input_tokens
        return allowed is not None and excess > DEBT * allowed and excess > self._permit.input_tokens

    def _charge_difference(self) -> None:
        """Charge at once what the request takes more, or less, than an average one."""
        excess = self._input_tokens() - self._permit.input_tokens
        self._services.group_limits.settlement(self.terms).input_tokens += excess
        self._permit.input_tokens += excess

    def _input_tokens(self) -> int:
        """Input tokens of this request, estimated by those of the job's bytes so far."""
        return max(1, round(self._permit.per_byte * self._counted_bytes()))

    def _counted_bytes(self) -> int:
        """The bytes by which the limiter estimates this request.

        Where a provider keeps the part that all records share, an average one takes few tokens for its size;
        what this one has more than that is the record's own, and counts in full.
        """
        size, per_byte = self._claim.request_bytes, self._permit.per_byte
        if self._claim.keep is None or per_byte * BYTES_PER_TOKEN >= 1:
            return size
        mean = self._job.mean_request_bytes
        return max(1, round(mean + (size - mean) / BYTES_PER_TOKEN / per_byte))

    async def _renew(self, model: str, max_tokens: int) -> float | None:
        """Take another permit for this record, which has its seat; returns what `wait_for_start` does.

        The limit may be lowered meanwhile, so that the call can never pass.
        """
        waited = False
        while True:
            terms = self._terms_of_call(model, max_tokens)
            grant = await self._services.new_start(terms, waited=waited)
            if grant.count:
                self._permit = Permit.of(grant, terms, grant.asked_at + grant.delay)
                return None
            waited = grant.waits
            if not self._services.runs(self._job.job_id):
                return max(grant.wait, LONGEST_WAIT)  # paused: a repeated call is a new one
            if is_hold(grant.reason) and grant.wait > LONGEST_WAIT:
                return grant.wait
            await asyncio.sleep(min(grant.wait, 1.0) * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
