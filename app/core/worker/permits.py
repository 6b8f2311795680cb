"""The permits of one record's calls: charged by what a call of its job takes, settled by what it took."""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core.limits.limiter import LATE, CallTerms, Grant
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.core.worker import retries
from app.errors import RequestRejected
from app.providers import registry
from app.providers.client import Usage

if TYPE_CHECKING:
    from app.core.worker.process import Process

DEBT = 0.005  # of a limit: what a request may be larger than its permit without one of its own


class GiveBack(Exception):
    """The record waits for a named time, and not in this process."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


@dataclass(slots=True)
class Permit:
    """The right to one call of a group: its start on this process's monotonic clock, and what was charged."""

    group: str
    at: float
    probe: bool  # its call tries a held group
    input_tokens: int
    output_tokens: int
    per_byte: float  # input tokens that a byte of the job's requests makes, about

    @classmethod
    def of(cls, grant: Grant, terms: CallTerms, at: float) -> "Permit":
        per_byte = grant.estimate / terms.request_bytes
        return cls(terms.group, at, grant.probe, grant.input_tokens, grant.output_tokens, per_byte)


class Permits:
    """A record has one at a time: for its next call, or of its latest."""

    def __init__(self, process: "Process", job: JobContext, claim: Claim, permit: Permit) -> None:
        """`permit` came with the claim, for an average call of the job."""
        self._process, self._job, self._claim, self._permit = process, job, claim, permit

    @property
    def group(self) -> str:
        return self._permit.group

    @property
    def probe(self) -> bool:
        """Whether the call decides for its held group."""
        return self._permit.probe

    @property
    def terms(self) -> CallTerms:
        return self._process.terms(self._job, self._permit.group)

    async def wait_for_start(self, model: str, max_tokens: int, *, used: bool) -> None:
        """Wait for a call's time, with a permit of its model's group that is large enough and not late.

        `used`: the permit that is there was another call's. Raises `RequestRejected` for a call that could
        never pass, `GiveBack` when its time is far away.
        """
        terms = self._terms_of_call(model, max_tokens)
        if used or self._permit.group != terms.group or self._is_small(terms):
            if not used:
                self.refund()
            self._permit = await self._another(terms)
        await asyncio.sleep(self._permit.at - time.monotonic())
        while time.monotonic() - self._permit.at > LATE:
            self.refund()
            self._permit = await self._another(terms)
            await asyncio.sleep(self._permit.at - time.monotonic())

    def refund(self) -> None:
        """Nothing was taken of what was charged."""
        settlement = self._process.book.settlement(self.terms)
        settlement.input_tokens -= self._permit.input_tokens
        settlement.output_tokens -= self._permit.output_tokens
        self._permit.input_tokens = self._permit.output_tokens = 0

    def settle(self, usage: Usage, seconds: float) -> None:
        """Charge what the call took beyond its permit, and learn from it."""
        input_tokens = usage.input_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
        if registry.cache_reads_count(self._permit.group):
            input_tokens += usage.cache_read_tokens
        settlement = self._process.book.settlement(self.terms)
        settlement.input_tokens += input_tokens - self._permit.input_tokens
        settlement.output_tokens += usage.output_tokens - self._permit.output_tokens
        settlement.bytes += self._claim.request_bytes
        settlement.answered_input += input_tokens
        settlement.answered_output += usage.output_tokens
        settlement.calls += 1
        settlement.seconds += seconds

    def _terms_of_call(self, model: str, max_tokens: int) -> CallTerms:
        """What holds for this very call."""
        group = self._job.group if model == self._job.model else registry.limit_group(model)
        terms = self._process.terms(self._job, group).sized(self._claim.request_bytes, max_tokens)
        allowed = terms.limits.input_tokens
        if allowed is not None and self._input_tokens() > allowed:
            raise RequestRejected(
                f"the request needs about {self._input_tokens():,} input tokens, and the limit group {group}"
                f" allows {allowed:,} a minute: make it smaller, or raise the limit",
                type="over_limit",
            )
        return terms

    def _is_small(self, terms: CallTerms) -> bool:
        """Whether the permit, which is for an average call of the job, is too small to be settled as debt.

        A little more or less than was charged is charged at once.
        """
        more = self._input_tokens() - self._permit.input_tokens
        allowed = terms.limits.input_tokens
        if allowed is not None and more > DEBT * allowed and more > self._permit.input_tokens:
            return True
        self._process.book.settlement(self.terms).input_tokens += more
        self._permit.input_tokens += more
        return False

    def _input_tokens(self) -> int:
        """Tokens of this request, by what the job's bytes made so far."""
        return max(1, round(self._permit.per_byte * self._claim.request_bytes))

    async def _another(self, terms: CallTerms) -> Permit:
        """Another start for this record, which has its seat."""
        waited = False
        while True:
            grant = await self._process.permit(terms, waited=waited)
            if grant.count:
                return Permit.of(grant, terms, time.monotonic() + grant.delay)
            waited = grant.waits
            if grant.reason.startswith(("account", "provider")) and grant.wait > retries.LONGEST_WAIT:
                raise GiveBack(grant.wait)
            await asyncio.sleep(min(grant.wait, 1.0) * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
