"""The limits of groups and jobs, enforced in Redis over all workers together.

Requests are strict and paced: starts are at least 60/(0.99·N) s apart, so that no 60 s contain more than N of
them as counted where they arrive, though each may be `LATE` seconds late. Tokens are charged by estimate,
paced likewise, and settled with the answer; an excess is debt. Each call in flight takes a seat of its job
and one of its group.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import redis
from redis.commands.core import AsyncScript, Script

from app.core.limits.redis_client import connect, guarded, script_text
from app.core.limits.threads import Threads
from app.providers.client import RateLimits
from config import settings

LATE = 0.3  # seconds; a call that is later takes a new permit: the pace allows for this much
WINDOW = 60.0  # seconds over which limits apply

# Until a job has answers of its own. Claude makes a token of 2.7 to 3.5 bytes of English; an overcharge is
# refunded with the first answers, an undercharge would be debt.
BYTES_PER_TOKEN = 2.5
OUTPUT_SHARE = 0.25  # of max_tokens


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
    window: float = WINDOW

    def sized(self, request_bytes: int, max_tokens: int) -> "CallTerms":
        """The same terms for a call of another size."""
        return replace(self, request_bytes=request_bytes, max_tokens=max_tokens)


@dataclass(frozen=True, slots=True)
class Grant:
    """`count` starts, the first in `delay` seconds and then one every `step`.

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

    @classmethod
    def from_script(cls, answer: Sequence[Any]) -> "Grant":
        """The grant that limiter.lua returned."""
        count, delay, step, wait, reason, probe, mark, input_tokens, output_tokens, waits, estimate = answer
        return cls(
            count=int(count),
            delay=int(delay) / 1e6,
            step=int(step) / 1e6,
            wait=int(wait) / 1e6,
            reason=str(reason),
            probe=bool(probe),
            mark=str(mark),
            input_tokens=int(input_tokens),
            output_tokens=int(output_tokens),
            waits=bool(waits),
            estimate=int(estimate),
        )

    def behind(self, first: int) -> "Grant":
        """The same grant without its first `first` starts."""
        return replace(self, count=self.count - first, delay=self.delay + first * self.step)


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

    def __init__(self, url: str) -> None:
        self._redis: redis.Redis = connect(url)
        self.threads = Threads(self._redis)
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
            _key("hold", terms.group),
            _key("fair", terms.group),
            _key("asking", terms.group),
            _key("seats", terms.job_id),
            _key("seats", terms.group),
            _key("alive"),
            _key("why", terms.job_id),
            _key("est", terms.job_id),
            _key("spare", terms.group),
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
        ]
        return Grant.from_script(self._run(self._take, terms, keys, args))

    def give_back(self, terms: CallTerms, lease_id: int, grant: Grant, count: int) -> None:
        """Give back the last `count` permits of `grant`, of which no byte was sent."""
        self._run(
            self._return,
            terms,
            [_key("seats", terms.job_id), _key("seats", terms.group), _key("spare", terms.group)],
            [
                lease_id,
                count,
                grant.mark,
                grant.input_tokens,
                grant.output_tokens,
                round(grant.step * 1e6),
            ],
        )

    def settle(self, terms: CallTerms, settlement: Settlement) -> int:
        """Charge what was actually taken; returns how many of the group's last 20 calls failed."""
        keys = [_key("est", terms.job_id)]
        return int(self._run(self._settle, terms, keys, settlement.arguments()))

    def ramp(self, terms: CallTerms) -> float:
        """Halve the group's rate, which then climbs again; returns the share that is left."""
        return float(self._run(self._ramp, terms, [], []))

    def standing(self, terms: CallTerms) -> Standing:
        """The usage of the last window, and the jobs that wait."""
        keys = [_key("asking", terms.group), _key("seats", terms.group), _key("alive")]
        return Standing.answered(self._run(self._look, terms, keys, []))

    def hold(
        self, group: str, reason: str, *, seconds: float = 0, every: float = 0, probe: bool = False
    ) -> float:
        """Hold all calls of `group` for `seconds`, then allow one probe at a time.

        0 seconds: longer with each strike. `probe`: the refused call was a probe.
        Returns how long the hold lasts from now, in seconds.
        """
        answer = guarded(
            lambda: self._hold(keys=[_key("hold", group)], args=[seconds, reason, every, int(probe)])
        )
        return int(answer) / 1e6

    def probe_soon(self, group: str) -> None:
        """Let one call try a held group now."""

        def write() -> None:
            if self._redis.hexists(_key("hold", group), "until"):
                self._redis.hset(_key("hold", group), "until", 0)

        guarded(write)

    def clear(self, group: str) -> None:
        """End a group's hold, after a successful probe, and forget earlier failures."""

        def write() -> None:
            pipe = self._redis.pipeline(transaction=False)
            pipe.delete(_key("hold", group))
            pipe.hdel(_key("limit", group), "ring")
            pipe.execute()

        guarded(write)

    def held(self, group: str) -> tuple[float, str] | None:
        """Seconds until the group's next probe and the reason of its hold, or None."""

        def read() -> tuple[float, str] | None:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hmget(_key("hold", group), ["until", "reason"])
            pipe.time()
            (until, reason), (seconds, micros) = pipe.execute()
            return None if until is None else (float(until) / 1e6 - seconds - micros / 1e6, str(reason))

        held: tuple[float, str] | None = guarded(read)
        return held

    def call_seconds(self, group: str) -> float:
        """The mean duration of the group's calls; 0 while unknown."""
        micros = guarded(lambda: self._redis.hget(_key("limit", group), "latency"))
        return float(micros or 0) / 1e6

    def reason(self, job_id: int) -> str | None:
        """What the job waited for a moment ago: a limit, its seats, or why its group is held."""
        reason = guarded(lambda: self._redis.get(_key("why", job_id)))
        return None if reason is None else str(reason)

    def reasons(self, job_ids: Sequence[int]) -> dict[int, str | None]:
        """`reason` of many jobs, with one command."""
        if not job_ids:
            return {}
        reasons = guarded(lambda: self._redis.mget([_key("why", job_id) for job_id in job_ids]))
        return dict(zip(job_ids, reasons, strict=True))

    def report(self, job_id: int, reason: str) -> None:
        """Report what holds the job back besides its limits; forgotten unless reported again every second."""
        guarded(lambda: self._redis.set(_key("why", job_id), reason, ex=3))

    def reach(self) -> None:
        """Raise `LimiterAway` when Redis does not answer."""
        guarded(self._redis.ping)

    def seats(self, job_id: int, lease_id: int) -> int:
        """How many seats of the job a process holds, by the limiter's count."""
        return int(guarded(lambda: self._redis.hget(_key("seats", job_id), str(lease_id))) or 0)

    def move_seats(self, job_id: int, group: str, lease_id: int, by: int) -> None:
        """Correct the number of seats that a process holds."""

        def write() -> None:
            pipe = self._redis.pipeline()
            pipe.hincrby(_key("seats", job_id), str(lease_id), by)
            pipe.hincrby(_key("seats", group), str(lease_id), by)
            pipe.execute()

        guarded(write)

    def heartbeat(self, lease_id: int) -> None:
        """Keep the seats of a process that is making calls but asks for no permits."""
        guarded(lambda: self._beat(keys=[_key("alive")], args=[lease_id]))

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
        keys = [_key("limit", terms.group), _key("used", terms.group), *keys]
        return guarded(lambda: script(keys=keys, args=[*group_args, *args]))


def _key(kind: str, *owner: object) -> str:
    """The key `kind:{owner}`, as the scripts' KEYS name it.

    It has no prefix, unlike Celery's keys: a release runs beside the one before it, and under different names
    each would grant the whole limit. Names can change over two releases: one takes from both keys, all or
    nothing, and the next only from the new one.
    """
    return ":".join((kind, *map(str, owner)))


@cache
def limiter() -> Limiter:
    """The limiter of this process."""
    return Limiter(settings.current().limiter_url)
