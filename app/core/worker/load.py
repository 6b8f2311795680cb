"""What a worker process has in hand: bounds what slices may claim, and notifies them when there is room.

Of both bounds a tenant may use four times what it leaves free, as of threads (see limits/threads.lua):
one that fills its part with large requests or slow permits keeps no other tenant's record from its call.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext

MEMORY = 64_000_000  # bytes of requests that a process holds at most
UNSENT = 120  # records at most that are claimed and wait for their start, or for a busy loop
FEW_UNSENT = 32  # enough to keep the loop at work until more are claimed, which is cheaper for many at once
SHARE = 4  # times what it leaves free, that a tenant may use


class RoomObserver(Protocol):
    """A slice that has more to claim."""

    def on_room(self) -> None:
        """There is room for more. Called on any thread."""


class _Shared:
    """An amount of which tenants use parts, up to a bound over all of them."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self.used = 0
        self.by = Counter[int]()  # tenant

    def add(self, tenant_id: int, amount: int) -> None:
        self.used += amount
        _add(self.by, tenant_id, amount)

    def left_for(self, tenant_id: int) -> int:
        return max((SHARE * (self._bound - self.used) - self.by[tenant_id]) // (1 + SHARE), 0)


class Load:
    """Counted from a record's claim to the end of its last call here. Any thread may call it."""

    def __init__(self) -> None:
        self._bytes = _Shared(MEMORY)  # of requests
        self._unsent = _Shared(UNSENT)  # records whose first call has not left
        self._in_flight: Counter[int] = Counter()  # records of each job
        self._waiting: dict[RoomObserver, None] = {}  # for room, in the order in which they asked
        self._lock = threading.Lock()  # guards all of these

    def room(self, job: JobContext) -> int:
        """How many more of the job's records this process may hold; an empty one has room for any one record.

        They are bounded by its memory and by what its loop can start: a call that is late for its start needs
        another permit, so a loop that is given ever more would end up doing nothing but renewing permits.
        """
        fits = self._fitting(job.lane, max(job.max_request_bytes, 1))
        fits = min(fits, self._unsent.left_for(job.lane))
        if job.seats is None:
            return fits
        # The limiter counts seats over all processes; an emptied Redis forgets them, this process does not.
        return min(fits, job.seats - self._in_flight[job.job_id])

    def _fitting(self, tenant_id: int, size: int) -> int:
        """How many more requests of `size` bytes a tenant may have here.

        One of any size where nothing else is, and one that fits for a tenant that has none.
        """
        fits = self._bytes.left_for(tenant_id) // size
        its_first = not self._bytes.by[tenant_id] and size <= MEMORY - self._bytes.used
        return max(fits, 1 if its_first or not self._bytes.used else 0)

    def is_busy(self, tenant_id: int) -> bool:
        """Whether the loop has enough to do, so that the tenant's claims can wait until they bring many.

        A claim costs about as much as twenty calls.
        """
        return self._unsent.by[tenant_id] > 0 and self._unsent.used > FEW_UNSENT

    def in_flight(self, job_id: int) -> int:
        """How many records of the job are in hand."""
        return self._in_flight[job_id]

    def jobs(self) -> set[int]:
        """The jobs that have records in hand."""
        with self._lock:
            return set(self._in_flight)

    def wait_for_room(self, observer: RoomObserver, tenant_id: int) -> None:
        """Notify `observer`, once, when the loop is no longer busy: at once if it is not."""
        with self._lock:
            if self.is_busy(tenant_id):
                self._waiting[observer] = None
                return
        observer.on_room()

    def stop_waiting(self, observer: RoomObserver) -> None:
        with self._lock:
            self._waiting.pop(observer, None)

    def add(self, job: JobContext, claims: Sequence[Claim]) -> None:
        with self._lock:
            self._bytes.add(job.lane, sum(claim.held_bytes for claim in claims))
            self._unsent.add(job.lane, len(claims))
            self._in_flight[job.job_id] += len(claims)

    def mark_sent(self, job: JobContext) -> None:
        """The first call of a record leaves, or never will."""
        with self._lock:
            self._unsent.add(job.lane, -1)
            busy = self._unsent.used > FEW_UNSENT
            observer = None if busy else next(iter(self._waiting), None)
            if observer is not None:
                del self._waiting[observer]
        if observer is not None:
            observer.on_room()

    def remove(self, job: JobContext, claim: Claim) -> None:
        with self._lock:
            self._bytes.add(job.lane, -claim.held_bytes)
            _add(self._in_flight, job.job_id, -1)


def _add(counts: Counter[int], name: int, amount: int) -> None:
    counts[name] += amount
    if not counts[name]:
        del counts[name]
