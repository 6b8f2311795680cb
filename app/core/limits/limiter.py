"""The limits of groups and jobs, enforced in Redis over all workers together.

Requests are strict: no 60 s contain more than N of them as counted where they arrive, though each may be
`LATE` seconds late. A small job leaves at once, as far as it fits into what the last 60 s have left; a longer
one is paced, its starts at least 60/(0.99·N) s apart. Tokens are charged by estimate, paced likewise, and
settled with the answer; an excess is debt. Each call in flight takes a seat of its job and one of its group.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import redis
from redis.commands.core import AsyncScript, Script

from app.core.limits import recent_calls
from app.core.limits.first_guess import BYTES_PER_TOKEN, OUTPUT_SHARE
from app.core.limits.reasons import Reasons
from app.core.limits.recent_calls import Moment
from app.core.limits.redis_client import connect, guarded, key, script_text
from app.core.limits.seeding import Seeding
from app.core.limits.threads import Threads
from app.providers.client import RateLimits
from config import settings
from config.once import once

LATE = 0.3  # seconds; a call that is later takes a new permit: the pace allows for this much
WINDOW = 60.0  # seconds over which limits apply

MANY = 1_000_000_000  # records, more than any job has
UNSEEDED = -1  # limiter.lua's count where it must be told the calls of the last minute first


@dataclass(frozen=True, slots=True)
class CallTerms:
    """The terms for the calls of one job, and roughly what one of them takes."""

    group: str
    job_id: int
    limits: RateLimits = field(default_factory=RateLimits)  # of the group, in any `window`
    seats: int | None = None  # of the job
    tenant_id: int = 0
    weight: int = 5  # the job's priority: its share among its tenant's jobs
    request_bytes: int = 1
    max_tokens: int = 1
    unended: int = MANY  # records of the job
    bursts: bool = True  # the provider takes calls that leave at once; False: only paced ones
    window: float = WINDOW

    def sized(self, request_bytes: int, max_tokens: int) -> "CallTerms":
        """The same terms for a call of another size."""
        return replace(self, request_bytes=request_bytes, max_tokens=max_tokens)


@dataclass(frozen=True, slots=True)
class Grant:
    """`count` starts, the first `delay` seconds after it was asked for and then one every `step`.

    When fewer than wanted were granted, `wait` is how long to wait before asking again.
    """

    count: int
    delay: float = 0.0
    step: float = 0.0
    wait: float = 0.0
    reason: str = ""
    probe: bool = False  # this one call decides whether a held group goes on: report its success
    mark: str = "0"
    input_tokens: int = 0  # charged for each
    output_tokens: int = 0
    estimate: int = 0  # input tokens of one call, also where that is more than a window allows
    waits: bool = False  # the asker counts as waiting: pass it as `waited` the next time
    burst: bool = False  # they leave at once, whatever the pace
    slot: int = 0  # of the limiter's time, in which they were granted
    asked_at: float = 0.0  # monotonic; `delay` counts from here, as the limiter granted it no earlier

    @classmethod
    def from_script(cls, answer: Sequence[Any], asked_at: float) -> "Grant":
        """The grant that limiter.lua returned."""
        count, delay, step, wait, reason, probe, mark, *tokens, waits, estimate, burst, slot = answer
        return cls(
            count=int(count),
            delay=int(delay) / 1e6,
            step=int(step) / 1e6,
            wait=int(wait) / 1e6,
            reason=str(reason),
            probe=bool(probe),
            mark=str(mark),
            input_tokens=int(tokens[0]),
            output_tokens=int(tokens[1]),
            waits=bool(waits),
            estimate=int(estimate),
            burst=bool(burst),
            slot=int(slot),
            asked_at=asked_at,
        )

    def behind(self, first: int) -> "Grant":
        """The same grant without its first `first` starts."""
        return replace(self, count=self.count - first, delay=self.delay + first * self.step)


class Hold(NamedTuple):
    """Why no call of a group leaves, besides one probe at a time."""

    seconds: float  # until the next probe; below 0 once that may leave
    reason: str
    detail: str  # JSON of an `Obstacle`, or empty
    until: float  # the time of the next probe, in seconds since the epoch by Redis's clock


CAUSES = ("account", "provider", "configuration")  # of holds: the first words of their reasons


def is_hold(reason: str) -> bool:
    """Whether a job that waits for this reason waits for the end of its group's hold."""
    return reason.startswith(CAUSES)


@dataclass(slots=True)
class Settlement:
    """What calls took beyond their charge, and the figures by which later ones are estimated."""

    input_tokens: int = 0  # more than charged; below 0: less
    output_tokens: int = 0
    bytes: int = 0  # of requests that were answered
    answered_input: int = 0
    answered_output: int = 0
    calls: int = 0  # answered
    seconds: float = 0.0  # their total duration
    failed: int = 0  # calls that failed for any reason other than the record's content
    # Seconds for which later calls, too, read from a cache what these have read; 0: they have read nothing.
    reads_for: float = 0.0

    def arguments(self) -> list[int]:
        """The arguments of settle.lua behind the group's own."""
        return [
            self.input_tokens,
            self.output_tokens,
            self.bytes,
            self.answered_input,
            self.answered_output,
            self.calls,
            round(self.seconds * 1e6),
            self.failed,
            round(self.reads_for * 1000),
        ]


@dataclass(frozen=True, slots=True)
class Standing:
    """The present state of a group."""

    requests: int  # within the last window
    input_tokens: int
    output_tokens: int
    in_flight: int
    seconds: float  # mean duration of a call
    ramp: float  # the share of its limits that it may use
    asking: list[int] = field(default_factory=list)  # jobs that wait for a permit

    @classmethod
    def answered(cls, answer: Sequence[Any]) -> "Standing":
        """What standing.lua answered."""
        requests, input_tokens, output_tokens, in_flight, micros, ramp, asking = answer
        return cls(
            requests=int(requests),
            input_tokens=int(input_tokens),
            output_tokens=int(output_tokens),
            in_flight=int(in_flight),
            seconds=int(micros) / 1e6,
            ramp=float(ramp),
            asking=[int(job) for job in asking],
        )


class Limiter:
    """One thin method for each script."""

    def __init__(self, url: str, recall: Callable[[str], Sequence[Moment]] = recent_calls.recall) -> None:
        """`recall`: what a group took in the last minute, oldest first."""
        self._redis: redis.Redis = connect(url)
        self.threads = Threads(self._redis)
        self.reasons = Reasons(self._redis)
        self._seeding = Seeding(self._script("seed.lua"), recall)
        self._take = self._script("limiter.lua")
        self._settle = self._script("settle.lua")
        self._return = self._script("give_back.lua")
        self._ramp = self._script("ramp.lua")
        self._look = self._script("standing.lua")
        self._hold: Script | AsyncScript = self._redis.register_script(script_text("hold.lua"))
        self._beat: Script | AsyncScript = self._redis.register_script(script_text("heartbeat.lua"))

    def take(
        self,
        terms: CallTerms,
        lease_id: int,
        want: int,
        *,
        freed: int = 0,
        seated: bool = False,
        waited: bool = False,
    ) -> Grant:
        """Take up to `want` permits, or learn how long to wait. `freed` seats are given back first.

        `seated`: for a repeated call that still has its seat. `waited`: the asker's last grant had `waits`
        set. With `want` 0 such an asker stops waiting.
        """
        keys = [
            key("hold", terms.group),
            key("fair", terms.group),
            key("asking", terms.group),
            key("seats", terms.job_id),
            key("seats", terms.group),
            key("alive"),
            key("why", terms.job_id),
            key("est", terms.job_id),
            key("spare", terms.group),
        ]
        args = [
            lease_id,
            terms.job_id,
            terms.tenant_id,
            terms.weight,
            want,
            freed,
            0 if seated else 1,
            int(waited),
            terms.limits.concurrent or 0,
            terms.seats or 0,
            terms.request_bytes,
            1 / BYTES_PER_TOKEN,
            terms.max_tokens * OUTPUT_SHARE,
            terms.max_tokens,
            terms.unended,
            int(terms.bursts),
        ]
        grant = self._granted(terms, keys, args)
        if grant.count != UNSEEDED:
            return grant
        if wait := self._seeding.seed(partial(self._run, terms=terms), terms.group):
            return Grant(0, wait=wait, reason="redis", waits=waited)
        return self.take(terms, lease_id, want, seated=seated, waited=waited)

    def give_back(
        self, terms: CallTerms, lease_id: int, grant: Grant, count: int, *, late: bool = False
    ) -> None:
        """Give back the last `count` permits of `grant`, of which no byte was sent.

        `late`: any of them, whose records keep their seats and take other starts.
        """
        self._run(
            self._return,
            terms,
            [key("seats", terms.job_id), key("seats", terms.group), key("spare", terms.group)],
            [
                lease_id,
                count,
                grant.mark,
                grant.input_tokens,
                grant.output_tokens,
                0 if grant.burst else round(grant.step * 1e6),
                grant.slot,
                0 if late else count,
            ],
        )

    def settle(self, terms: CallTerms, settlement: Settlement) -> int:
        """Charge what was actually taken; returns how many of the group's last 20 calls failed."""
        keys = [key("est", terms.job_id)]
        return int(self._run(self._settle, terms, keys, settlement.arguments()))

    def ramp(self, terms: CallTerms) -> float:
        """Halve the group's rate, which then climbs again; returns the share that is left."""
        return float(self._run(self._ramp, terms, [], []))

    def standing(self, terms: CallTerms) -> Standing:
        """The usage of the last window, and the jobs that wait."""
        keys = [key("asking", terms.group), key("seats", terms.group), key("alive")]
        return Standing.answered(self._run(self._look, terms, keys, []))

    def hold(
        self,
        group: str,
        reason: str,
        *,
        seconds: float = 0,
        every: float = 0,
        probe: bool = False,
        detail: str = "",
    ) -> float:
        """Hold all calls of `group` for `seconds`, then allow one probe at a time.

        0 seconds: longer with each strike. `probe`: the refused call was a probe.
        Returns how long the hold lasts from now, in seconds.
        """
        answer = guarded(
            lambda: self._hold(keys=[key("hold", group)], args=[seconds, reason, every, int(probe), detail])
        )
        return int(answer) / 1e6

    def probe_soon(self, group: str) -> None:
        """Let one call try a held group now; what was said of the last one holds no longer."""

        def write() -> None:
            if self._redis.hexists(key("hold", group), "until"):
                self._redis.hset(key("hold", group), mapping={"until": 0, "detail": ""})

        guarded(write)

    def clear(self, group: str) -> None:
        """End a group's hold, after a successful probe, and forget earlier failures."""

        def write() -> None:
            pipe = self._redis.pipeline(transaction=False)
            pipe.delete(key("hold", group))
            pipe.hdel(key("limit", group), "ring")
            pipe.execute()

        guarded(write)

    def held(self, group: str) -> Hold | None:
        """The group's hold, if it is held."""
        held: Hold | None = guarded(partial(_read_hold, self._redis, group))
        return held

    def call_seconds(self, group: str) -> float:
        """The mean duration of the group's calls; 0 while unknown."""
        micros = guarded(lambda: self._redis.hget(key("limit", group), "latency"))
        return float(micros or 0) / 1e6

    def reach(self) -> None:
        """Raise `LimiterAway` when Redis does not answer, or can only be read: full, it answers a ping."""
        guarded(lambda: self._redis.set(key("reached"), 1, ex=60))

    def seats(self, job_id: int, lease_id: int) -> int:
        """How many seats of the job a process holds, by the limiter's count."""
        return int(guarded(lambda: self._redis.hget(key("seats", job_id), str(lease_id))) or 0)

    def move_seats(self, job_id: int, group: str, lease_id: int, by: int) -> None:
        """Correct the number of seats that a process holds."""

        def write() -> None:
            pipe = self._redis.pipeline()
            pipe.hincrby(key("seats", job_id), str(lease_id), by)
            pipe.hincrby(key("seats", group), str(lease_id), by)
            pipe.execute()

        guarded(write)

    def heartbeat(self, lease_id: int) -> None:
        """Keep the seats of a process that is making calls but asks for no permits."""
        guarded(lambda: self._beat(keys=[key("alive")], args=[lease_id]))

    def _granted(self, terms: CallTerms, keys: list[str], args: list[Any]) -> Grant:
        asked_at = time.monotonic()
        return Grant.from_script(self._run(self._take, terms, keys, args), asked_at)

    def _script(self, name: str) -> Script | AsyncScript:
        return self._redis.register_script(script_text("group.lua") + script_text(name))

    def _run(self, script: Script | AsyncScript, terms: CallTerms, keys: list[str], args: list[Any]) -> Any:
        limits = terms.limits
        group_args = [
            round(terms.window * 1e6),
            limits.requests or 0,
            limits.input_tokens or 0,
            limits.output_tokens or 0,
        ]
        keys = [key("limit", terms.group), key("used", terms.group), *keys]
        return guarded(lambda: script(keys=keys, args=[*group_args, *args]))


def _read_hold(client: redis.Redis, group: str) -> Hold | None:
    pipe = client.pipeline(transaction=False)
    pipe.hmget(key("hold", group), ["until", "reason", "detail"])
    pipe.time()
    (until, reason, detail), (seconds, micros) = pipe.execute()
    if until is None:
        return None
    ends = float(until) / 1e6
    return Hold(ends - seconds - micros / 1e6, str(reason), detail or "", ends)


@once
def limiter() -> Limiter:
    """The limiter of this process."""
    return Limiter(settings.current().limiter_url)
