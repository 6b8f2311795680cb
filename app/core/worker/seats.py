"""The seats that this process holds, by its own count, and the limiter's count reconciled with it.

A request to Redis without a reply may still be carried out: a server that stood still executes it when it
wakes, long after the caller gave up. Seats granted then would stay taken for as long as the process lives.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog

from app.core.limits.limiter import CallTerms, Grant, limiter
from app.core.pipeline import lookup
from app.errors import LimiterAway

log = structlog.get_logger()

CHECKS = 3  # one with each beat after a lost request; after the last it can no longer be carried out

Doubted = tuple[int, str]  # a job and the limit group of the request that was lost


class Seats:
    """Used by every slice of the process, from their threads."""

    def __init__(self) -> None:
        self._held: Counter[int] = Counter()  # by job
        self._requested: set[int] = set()  # jobs for which a request was begun since the last beat
        self._pending: Counter[int] = Counter()  # requests without a reply yet, by job
        self._doubts: dict[Doubted, int] = {}  # -> checks left
        self._lock = threading.Lock()

    def take(
        self, terms: CallTerms, lease_id: int, want: int, *, freed: int = 0, waited: bool = False
    ) -> Grant:
        """See `Limiter.take`."""
        with self._request(terms):
            grant = limiter().take(terms, lease_id, want, freed=freed, waited=waited)
            self._move(terms.job_id, grant.count - freed)
            return grant

    def give_back(self, terms: CallTerms, lease_id: int, grant: Grant, count: int) -> None:
        """See `Limiter.give_back`. With Redis away a later beat gives the seats back."""
        self._move(terms.job_id, -count)
        with suppress(LimiterAway), self._request(terms):
            limiter().give_back(terms, lease_id, grant, count)

    def leave(self, terms: CallTerms, lease_id: int, *, freed: int, waited: bool) -> None:
        """A slice's last request: give back the seats that it has freed, and leave the queue."""
        self._move(terms.job_id, -freed)
        with suppress(LimiterAway), self._request(terms):
            limiter().take(terms, lease_id, 0, freed=freed, waited=waited)

    def reconcile(self, lease_id: int) -> None:
        """Correct the limiter's counts where a request was lost; raises `LimiterAway`.

        To be called with each beat.
        """
        self._requested.clear()
        for doubted in list(self._doubts):
            self._check(*doubted, lease_id)

    def forget(self) -> None:
        """The process has another lease: the limiter frees the seats of the old one by itself."""
        with self._lock:
            self._held.clear()

    def _check(self, job_id: int, group: str, lease_id: int) -> None:
        with self._lock:
            held = max(self._held[job_id], 0)
            if self._pending[job_id]:
                return
        counted = limiter().seats(job_id, lease_id)
        with self._lock:
            if job_id in self._requested:
                return  # the count may be from before or after that request; the next beat checks again
            self._doubts[job_id, group] -= 1
            if not self._doubts[job_id, group]:
                del self._doubts[job_id, group]
        if counted != held:
            log.info("seats.put_right", job=lookup.public_id(job_id), counted=counted, held=held)
            limiter().move_seats(job_id, group, lease_id, held - counted)

    @contextmanager
    def _request(self, terms: CallTerms) -> Iterator[None]:
        """Enclose a request that moves seats of the job; one that is lost leaves the job in doubt."""
        job_id = terms.job_id
        with self._lock:
            self._requested.add(job_id)
            self._pending[job_id] += 1
        try:
            yield
        except LimiterAway:
            with self._lock:
                self._doubts[job_id, terms.group] = CHECKS
            raise
        finally:
            with self._lock:
                self._pending[job_id] -= 1
                self._pending += Counter()  # drops what is at zero

    def _move(self, job_id: int, by: int) -> None:
        with self._lock:
            self._held[job_id] += by
            if not self._held[job_id]:
                del self._held[job_id]
