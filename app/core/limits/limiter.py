"""The limits of a group and of a job, kept over all workers together in Redis.

Requests are strict and paced: starts lie at least 60/(0.99·N) s apart, so that no 60 s hold more than N of
them as counted where they arrive, though each may be `LATE` seconds late. Tokens are charged by estimate,
paced alike, and settled with the answer; surplus is debt. Calls in flight are seats of a job and of its
group.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import redis
from redis.commands.core import AsyncScript, Script

from app.errors import LimiterAway
from app.providers.client import RateLimits
from config import settings

LATE = 0.3  # seconds; a call that is later than that takes a new permit: the pace has room for so much
WINDOW = 60.0  # seconds in which limits hold

# Before a job has answers of its own. Claude makes a token of 2.7 to 3.5 bytes of English; what is
# charged too much is refunded with the first answers, too little would be debt.
BYTES_PER_TOKEN = 2.5
OUTPUT_SHARE = 0.25  # of max_tokens

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class CallTerms:
    """What holds for the calls of one job, and what one of them takes, about."""

    group: str
    job_id: int
    limits: RateLimits = field(default_factory=RateLimits)  # of the group, in any `window`
    seats: int | None = None  # of the job
    tenant_id: int = 0
    weight: int = 5  # the job's priority: its share among those of its tenant
    request_bytes: int = 1
    max_tokens: int = 1
    window: float = WINDOW

    def sized(self, request_bytes: int, max_tokens: int) -> "CallTerms":
        """The same for one call of another size."""
        return replace(self, request_bytes=request_bytes, max_tokens=max_tokens)


@dataclass(frozen=True, slots=True)
class Grant:
    """`count` starts, the first in `delay` seconds and then every `step`.

    When that is not all that was wanted, `wait` is how long to wait before asking again.
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
    waits: bool = False  # the asker counts as waiting: say so with its next word

    @classmethod
    def answered(cls, answer: Sequence[Any]) -> "Grant":
        """What limiter.lua answered."""
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
        """The same without its `first` starts."""
        return replace(self, count=self.count - first, delay=self.delay + first * self.step)


@dataclass(slots=True)
class Settlement:
    """What calls took beyond what was charged for them, and what that says of those to come."""

    input_tokens: int = 0  # more than charged; below 0: less
    output_tokens: int = 0
    bytes: int = 0  # of requests that were answered
    answered_input: int = 0
    answered_output: int = 0
    calls: int = 0  # answered
    seconds: float = 0.0  # they took together
    failed: int = 0  # calls that brought nothing, for whatever reason but the record's own content

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
    """How a group stands."""

    requests: int  # within the last window
    input_tokens: int
    output_tokens: int
    in_flight: int
    seconds: float  # a call takes, on average
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
        self._redis: redis.Redis = redis.Redis.from_url(
            url, socket_timeout=2, socket_connect_timeout=1, health_check_interval=30, decode_responses=True
        )
        self._take = self._script("limiter.lua")
        self._settle = self._script("settle.lua")
        self._return = self._script("give_back.lua")
        self._ramp = self._script("ramp.lua")
        self._look = self._script("standing.lua")
        self._hold: Script | AsyncScript = self._redis.register_script(_text("hold.lua"))
        self._beat: Script | AsyncScript = self._redis.register_script(_text("heartbeat.lua"))

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
        """Up to `want` permits, or how long to wait. `freed` seats are given back first.

        `seated`: for a call that is asked again and still has its seat. `waited`: the asker's last word was
        answered with a grant that said `waits`. Without wanting anything, such an asker stops to wait.
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
        return Grant.answered(self._run(self._take, terms, keys, args))

    def give_back(self, terms: CallTerms, lease_id: int, grant: Grant, count: int) -> None:
        """Return `count` permits of `grant`, its last ones, of which no byte was sent."""
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
        """Charge what was really taken; returns how many of the group's last 20 calls failed."""
        keys = [_key("est", terms.job_id)]
        return int(self._run(self._settle, terms, keys, settlement.arguments()))

    def ramp(self, terms: CallTerms) -> float:
        """Halve the group's rate, which then climbs again; returns the share that is left."""
        return float(self._run(self._ramp, terms, [], []))

    def standing(self, terms: CallTerms) -> Standing:
        """What was used in the last window, and who waits."""
        keys = [_key("asking", terms.group), _key("seats", terms.group), _key("alive")]
        return Standing.answered(self._run(self._look, terms, keys, []))

    def hold(
        self, group: str, reason: str, *, seconds: float = 0, every: float = 0, probe: bool = False
    ) -> float:
        """Let nothing of `group` leave for `seconds` (0: longer with each strike); then one probe at a time.

        `probe`: the refused call was one. Returns how long the hold lasts from now, in seconds.
        """
        answer = self._guarded(
            lambda: self._hold(keys=[_key("hold", group)], args=[seconds, reason, every, int(probe)])
        )
        return int(answer) / 1e6

    def probe_soon(self, group: str) -> None:
        """Let one call try a held group now."""

        def write() -> None:
            if self._redis.hexists(_key("hold", group), "until"):
                self._redis.hset(_key("hold", group), "until", 0)

        self._guarded(write)

    def clear(self, group: str) -> None:
        """A probe succeeded: the group goes on, and what failed before is forgotten."""

        def write() -> None:
            pipe = self._redis.pipeline(transaction=False)
            pipe.delete(_key("hold", group))
            pipe.hdel(_key("limit", group), "ring")
            pipe.execute()

        self._guarded(write)

    def held(self, group: str) -> tuple[float, str] | None:
        """Seconds until the group's next probe and the reason of its hold, or None."""

        def read() -> tuple[float, str] | None:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hmget(_key("hold", group), ["until", "reason"])
            pipe.time()
            (until, reason), (seconds, micros) = pipe.execute()
            return None if until is None else (float(until) / 1e6 - seconds - micros / 1e6, str(reason))

        held: tuple[float, str] | None = self._guarded(read)
        return held

    def call_seconds(self, group: str) -> float:
        """What a call of the group takes, on average; 0 while nobody knows."""
        micros = self._guarded(lambda: self._redis.hget(_key("limit", group), "latency"))
        return float(micros or 0) / 1e6

    def reason(self, job_id: int) -> str | None:
        """What the job waited for a moment ago: a limit, its seats, or why its group is held."""
        found = self._guarded(lambda: self._redis.get(_key("why", job_id)))
        return None if found is None else str(found)

    def reasons(self, job_ids: Sequence[int]) -> dict[int, str | None]:
        """The same for many jobs, with one question."""
        if not job_ids:
            return {}
        found = self._guarded(lambda: self._redis.mget([_key("why", job_id) for job_id in job_ids]))
        return dict(zip(job_ids, found, strict=True))

    def report(self, job_id: int, reason: str) -> None:
        """Report what holds the job back besides its limits; forgotten unless reported again every second."""
        self._guarded(lambda: self._redis.set(_key("why", job_id), reason, ex=3))

    def reach(self) -> None:
        """Raise `LimiterAway` when Redis does not answer."""
        self._guarded(self._redis.ping)

    def seats(self, job_id: int, lease_id: int) -> int:
        """How many seats of the job a process is taken to hold."""
        return int(self._guarded(lambda: self._redis.hget(_key("seats", job_id), str(lease_id))) or 0)

    def move_seats(self, job_id: int, group: str, lease_id: int, by: int) -> None:
        """Put that number right."""

        def write() -> None:
            pipe = self._redis.pipeline()
            pipe.hincrby(_key("seats", job_id), str(lease_id), by)
            pipe.hincrby(_key("seats", group), str(lease_id), by)
            pipe.execute()

        self._guarded(write)

    def heartbeat(self, lease_id: int) -> None:
        """Keep the seats of a process whose calls outlast its asking."""
        self._guarded(lambda: self._beat(keys=[_key("alive")], args=[lease_id]))

    def _script(self, name: str) -> Script | AsyncScript:
        return self._redis.register_script(_text("group.lua") + _text(name))

    def _run(self, script: Script | AsyncScript, terms: CallTerms, keys: list[str], args: list[Any]) -> Any:
        limits = terms.limits
        about_group = [
            round(terms.window * 1e6),
            limits.requests or 0,
            limits.input_tokens or 0,
            limits.output_tokens or 0,
        ]
        keys = [_key("limit", terms.group), _key("used", terms.group), *keys]
        return self._guarded(lambda: script(keys=keys, args=[*about_group, *args]))

    @staticmethod
    def _guarded(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except redis.RedisError as error:
            raise LimiterAway(str(error)) from error


def _key(kind: str, *whose: object) -> str:
    """What a script's KEYS call `kind:{whose}`.

    Nothing of ours stands in front, as it does of Celery's keys: a release runs beside the one before it, and
    under names of its own each would grant the whole limit. Names can change over two releases: one takes
    from both keys, all or nothing, and the next from the new one alone.
    """
    return ":".join((kind, *map(str, whose)))


def _text(name: str) -> str:
    return (_HERE / name).read_text()


@cache
def limiter() -> Limiter:
    """The limiter of this process."""
    return Limiter(settings.current().limiter_url)
