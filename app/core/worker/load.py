"""What a worker process has in hand: bounds what slices may claim, and notifies them when there is room."""

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext

MEMORY = 64_000_000  # bytes of requests that a process holds at most
UNSENT = 96  # records at most that are claimed and wait for their start, or for a busy loop
FEW_UNSENT = 32  # enough to keep the loop at work until more are claimed, which is cheaper for many at once


class RoomObserver(Protocol):
    """A slice that has more to claim."""

    def on_room(self) -> None:
        """There is room for more. Called on any thread."""


class Load:
    """Counted from a record's claim to the end of its last call here. Any thread may call it."""

    def __init__(self) -> None:
        self._bytes = 0  # of requests
        self._unsent = 0  # records whose first call has not left
        self._in_flight: Counter[int] = Counter()  # records of each job
        self._waiting: dict[RoomObserver, None] = {}  # for room, in the order in which they asked
        self._lock = threading.Lock()  # guards all of these

    def room(self, job: JobContext) -> int:
        """How many more of the job's records this process may hold; an empty one has room for any one record.

        They are bounded by its memory and by what its loop can start: a call that is late for its start needs
        another permit, so a loop that is given ever more would end up doing nothing but renewing permits.
        """
        free = MEMORY - self._bytes
        fits = max(free // max(job.max_request_bytes, 1), 0 if self._bytes else 1)
        fits = min(fits, UNSENT - self._unsent)
        if job.seats is None:
            return fits
        # The limiter counts seats over all processes; an emptied Redis forgets them, this process does not.
        return min(fits, job.seats - self._in_flight[job.job_id])

    def is_busy(self) -> bool:
        """Whether the loop has enough to do, so that claims can wait until they bring many.

        A claim costs about as much as twenty calls.
        """
        return self._unsent > FEW_UNSENT

    def in_flight(self, job_id: int) -> int:
        """How many records of the job are in hand."""
        return self._in_flight[job_id]

    def jobs(self) -> set[int]:
        """The jobs that have records in hand."""
        with self._lock:
            return set(self._in_flight)

    def wait_for_room(self, observer: RoomObserver) -> None:
        """Notify `observer`, once, when the loop is no longer busy: at once if it is not."""
        with self._lock:
            if self.is_busy():
                self._waiting[observer] = None
                return
        observer.on_room()

    def stop_waiting(self, observer: RoomObserver) -> None:
        with self._lock:
            self._waiting.pop(observer, None)

    def add(self, job_id: int, claims: Sequence[Claim]) -> None:
        with self._lock:
            self._bytes += sum(claim.held_bytes for claim in claims)
            self._unsent += len(claims)
            self._in_flight[job_id] += len(claims)

    def mark_sent(self) -> None:
        """The first call of a record leaves, or never will."""
        with self._lock:
            self._unsent -= 1
            observer = None if self.is_busy() else next(iter(self._waiting), None)
            if observer is not None:
                del self._waiting[observer]
        if observer is not None:
            observer.on_room()

    def remove(self, claim: Claim) -> None:
        with self._lock:
            self._bytes -= claim.held_bytes
            self._in_flight[claim.job_id] -= 1
            if not self._in_flight[claim.job_id]:
                del self._in_flight[claim.job_id]
