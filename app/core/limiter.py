"""The limits of a group and of a job, kept over all workers together in Redis.

Requests are strict and paced: starts lie at least 60/(0.99·N) s apart, so that no 60 s hold more than N of
them as counted where they arrive, though each may be `LATE` seconds late. Calls in flight are seats of a job.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import redis
from redis.commands.core import AsyncScript, Script

from config import settings

# The pace leaves one start in a hundred free; that pays for calls that leave late. With N a minute, 60.3 s
# hold floor(60.3 · 0.99 N / 60) + 1 starts, never more than N.
USED_SHARE = 0.99
LATE = 0.3  # seconds; a call that is later than that takes a new permit

_HERE = Path(__file__).parent


class LimiterAway(Exception):
    """Redis does not answer: nothing may leave."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for one job: its group's pace and its own seats."""

    group: str
    job_id: int
    requests_per_minute: int | None
    seats: int | None

    @property
    def step(self) -> int:
        """Microseconds between two starts; 0 without a pace."""
        if self.requests_per_minute is None:
            return 0
        return round(60_000_000 / (USED_SHARE * self.requests_per_minute))


@dataclass(frozen=True, slots=True)
class Grant:
    """`count` starts, the first in `delay` seconds and then every `step`; or none, and how long to `wait`."""

    count: int
    delay: float
    step: float
    wait: float
    reason: str
    probe: bool  # this one call decides whether a held group goes on: report its success
    mark: str


class Limiter:
    """One thin method for each script."""

    def __init__(self, url: str) -> None:
        self._redis: redis.Redis = redis.Redis.from_url(
            url, socket_timeout=2, socket_connect_timeout=1, health_check_interval=30, decode_responses=True
        )
        self._take = self._script("limiter.lua")
        self._hold = self._script("limiter_hold.lua")
        self._return = self._script("limiter_return.lua")

    def take(
        self, limits: Limits, lease_id: int, want: int, *, freed: int = 0, seated: bool = False
    ) -> Grant:
        """Up to `want` permits, or how long to wait. `freed` seats are given back first.

        `seated`: for a call that is asked again and still has its seat.
        """
        answer = self._run(
            self._take,
            keys=[
                f"pace:{limits.group}",
                f"hold:{limits.group}",
                f"seats:{limits.job_id}",
                "alive",
                f"why:{limits.job_id}",
            ],
            args=[lease_id, want, limits.step, limits.seats or 0, freed, 0 if seated else 1],
        )
        count, delay, wait, reason, probe, mark = answer
        return Grant(
            count=int(count),
            delay=int(delay) / 1e6,
            step=limits.step / 1e6,
            wait=int(wait) / 1e6,
            reason=str(reason),
            probe=bool(int(probe)),
            mark=str(mark),
        )

    def give_back(self, limits: Limits, lease_id: int, grant: Grant, count: int) -> None:
        """Return `count` permits of `grant`, its last ones, of which no byte was sent."""
        self._run(
            self._return,
            keys=[f"pace:{limits.group}", f"seats:{limits.job_id}"],
            args=[lease_id, count, limits.step, grant.mark],
        )

    def hold(self, group: str, reason: str, *, seconds: float = 0, every: float = 0) -> float:
        """Let nothing of `group` leave for `seconds` (0: longer with each strike); then one probe at a time.

        Returns how long the hold lasts from now, in seconds.
        """
        return int(self._run(self._hold, keys=[f"hold:{group}"], args=[seconds, reason, every])) / 1e6

    def clear(self, group: str) -> None:
        """A probe succeeded: the group goes on."""
        self._guarded(lambda: self._redis.delete(f"hold:{group}"))

    def held(self, group: str) -> tuple[float, str] | None:
        """Seconds until the group's next probe and the reason of its hold, or None."""

        def read() -> tuple[float, str] | None:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hmget(f"hold:{group}", ["until", "reason"])
            pipe.time()
            (until, reason), (seconds, micros) = pipe.execute()
            return None if until is None else (float(until) / 1e6 - seconds - micros / 1e6, str(reason))

        held: tuple[float, str] | None = self._guarded(read)
        return held

    def reason(self, job_id: int) -> str | None:
        """What the job waited for a moment ago: `requests`, `concurrency` or why its group is held."""
        found = self._guarded(lambda: self._redis.get(f"why:{job_id}"))
        return None if found is None else str(found)

    def say(self, job_id: int, reason: str) -> None:
        """Note what holds the job back besides its limits, for as long as it is said again every second."""
        self._guarded(lambda: self._redis.set(f"why:{job_id}", reason, ex=3))

    def heartbeat(self, lease_id: int) -> None:
        """Keep the seats of a process whose calls outlast its asking."""

        def write() -> None:
            seconds, micros = self._redis.time()
            self._redis.zadd("alive", {str(lease_id): seconds * 1_000_000 + micros})
            self._redis.zremrangebyscore("alive", 0, (seconds - 3600) * 1_000_000)

        self._guarded(write)

    def _script(self, name: str) -> Script | AsyncScript:
        return self._redis.register_script((_HERE / name).read_text())

    def _run(self, script: Script | AsyncScript, keys: list[str], args: list[str | int | float]) -> Any:
        return self._guarded(lambda: script(keys=keys, args=args))

    @staticmethod
    def _guarded(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except redis.RedisError as error:
            raise LimiterAway(str(error)) from error


@cache
def limiter() -> Limiter:
    """The limiter of this process."""
    return Limiter(settings.current().limiter_url)
