"""The threads of slice workers: whose slices hold them, and how many more may be offered.

The broker's list is first come first served and a slice keeps its thread until its calls have ended, so a
slice is offered only when there is a thread for it. A thread is counted from the offer to the slice's end;
what a killed worker leaves counted is found by the sweep. See threads.lua for who may have how many.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import redis

from app.core.limits.redis_client import guarded, script_text

WAITS = 5_000  # milliseconds that a tenant which was put off counts as waiting; each serving renews it

_KEYS = ("penstock:threads", "penstock:threads:waiting")


@dataclass(frozen=True, slots=True)
class Wish:
    """The slices that a window would have."""

    window_id: int
    epoch: int
    tenant_id: int
    job_id: int
    capacity: int  # threads of all living workers
    whole: int  # as many, if all of them may be had; 0: no such wish
    fewer: int  # otherwise at most as many
    tasks: int = 0  # of its chord, if that has one for each record and grows as its tasks end; 0: only these


class Granted(NamedTuple):
    """How many slices may be offered, 0: none for now; and whether they are the whole of the wish."""

    slices: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Held:
    """Threads held by each tenant's and each job's slices, and the windows (id and epoch) that hold some."""

    tenants: Counter[int] = field(default_factory=Counter)
    jobs: Counter[int] = field(default_factory=Counter)
    windows: set[tuple[int, int]] = field(default_factory=set)


class Threads:
    """One thin method for each script or command; all raise `LimiterAway`."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        shared = script_text("threads.lua")
        self._take, self._free, self._pass_on = (
            client.register_script(shared + script_text(f"threads_{name}.lua"))
            for name in ("take", "free", "pass_on")
        )

    def take(self, wish: Wish, *, in_line: bool) -> Granted:
        """Take threads for a window; `in_line`: its job is the next of those that wait.

        Without any, the tenant counts as waiting for `WAITS` and its newcomers go behind those that wait.
        """
        args = [
            *(wish.window_id, wish.epoch, wish.tenant_id, wish.job_id),
            *(wish.capacity, wish.whole, wish.fewer, int(in_line), WAITS),
            wish.tasks,
        ]
        slices, whole = guarded(lambda: self._take(keys=_KEYS, args=args))
        return Granted(int(slices), bool(whole))

    def give_back(self, window_id: int, epoch: int, slices: int = 1) -> None:
        """So many slices of a window have ended, or will never run; 0: all that are left."""
        guarded(lambda: self._free(keys=_KEYS, args=[window_id, epoch, slices]))

    def pass_on(self, window_id: int, epoch: int, *, asked: bool, capacity: int) -> int:
        """A task that was to ask one record has ended; returns how many more its chord gets now.

        They have threads, this one's among them. `asked`: it has asked its record; `capacity`: threads of
        all living workers.
        """
        args = [window_id, epoch, int(asked), capacity]
        return int(guarded(lambda: self._pass_on(keys=_KEYS, args=args)))

    def held(self) -> Held:
        held = Held()
        for name, value in guarded(lambda: self._redis.hgetall(_KEYS[0])).items():
            match name[0]:
                case "t":
                    held.tenants[int(name[1:])] = int(value)
                case "j":
                    held.jobs[int(name[1:])] = int(value)
                case "w":
                    window, _, epoch = name[1:].partition(":")
                    held.windows.add((int(window), int(epoch)))
        return held

    def wait(self, tenants: Iterable[int]) -> None:
        """Jobs of these tenants wait for threads, and those of no other."""

        def write() -> None:
            now = self._redis.time()[0] * 1_000
            pipe = self._redis.pipeline()
            pipe.delete(_KEYS[1])
            if waiting := {str(tenant): now for tenant in tenants}:
                pipe.zadd(_KEYS[1], waiting)
                pipe.pexpire(_KEYS[1], WAITS)
            pipe.execute()

        guarded(write)

    def wanted(self) -> bool:
        """Whether a job waits for threads."""
        return bool(guarded(lambda: self._redis.exists(_KEYS[1])))
