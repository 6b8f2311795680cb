"""The windows whose slices run in this process, and for each the queue in which its slices claim."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")  # the type of claimants


class ClaimQueue(Generic[T]):
    """Has the slices of one window claim one after the other, and for each other.

    Without it they would block each other in the database, and together claim more than there is room for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[T, None] = {}  # in the order in which they came

    def __len__(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    @contextmanager
    def turn(self, claimant: T) -> Iterator[list[T]]:
        """Wait for the claimant's turn; yields the others that wait, which stand still until it is over."""
        self._waiting[claimant] = None
        with self._lock:
            del self._waiting[claimant]
            yield list(self._waiting)


class ServedWindows(Generic[T]):
    """What slices of this process work on. Any thread may call it."""

    def __init__(self) -> None:
        self._slices: Counter[tuple[int, int]] = Counter()  # by job and window
        self._queues: dict[int, ClaimQueue[T]] = {}  # by window
        self._lock = threading.Lock()  # guards both

    @contextmanager
    def serving(self, job_id: int, window_id: int) -> Iterator[ClaimQueue[T]]:
        """Count a slice of the window for as long as it lasts; yields the queue that it claims in."""
        with self._lock:
            self._slices[job_id, window_id] += 1
            queue = self._queues.setdefault(window_id, ClaimQueue())
        try:
            yield queue
        finally:
            with self._lock:
                self._slices[job_id, window_id] -= 1
                if not self._slices[job_id, window_id]:
                    del self._slices[job_id, window_id], self._queues[window_id]

    def windows(self) -> frozenset[int]:
        with self._lock:
            return frozenset(self._queues)

    def jobs(self) -> set[int]:
        with self._lock:
            return {job_id for job_id, _ in self._slices}
