"""A slice's permits, taken from the limiter, which gets freed seats back with the slice's next request."""

import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace

from app.core.limits.limiter import CallTerms, Grant, limiter
from app.core.measures import metrics, proven
from app.core.measures.counts import counts
from app.core.requests.job_context import JobContext
from app.core.worker.process import Process
from app.errors import LimiterAway

AWAY = 1.0  # seconds until an absent limiter is tried again
IN_VAIN = (
    2.0  # seconds without a permit, after which a slice with nothing in flight leaves its thread to others
)
RECHECK = 0.5  # seconds between two checks whether others want it


class SlicePermits:
    """Used on the slice's own thread."""

    def __init__(self, process: Process, job: JobContext) -> None:
        self._process, self._job = process, job
        self._freed: Counter[int] = Counter()  # seats to give back, by the lease that they were taken under
        self._queued = False  # the limiter counts the slice as waiting
        self._retry_at = 0.0  # monotonic: no permit is to be had before
        self._refused: tuple[str, float, float] | None = None  # what for, when, and for how long
        self.requested_at = float("-inf")  # monotonic
        self._granted_at = self._checked_at = time.monotonic()

    def free(self, lease_id: int) -> None:
        """Note that a call has ended; its seat was taken under this lease."""
        self._freed[lease_id] += 1

    def take(self, lease_id: int, want: int) -> Grant:
        """Take up to `want` permits; there will be no more for the `wait` seconds of the grant."""
        if (early := self._retry_at - time.monotonic()) > 0:
            return Grant(0, wait=early)
        room, wait = self._process.group_limits.room(self._job, want)
        if not room:
            return Grant(0, wait=wait)
        self._count_wait()
        self.requested_at = time.monotonic()
        try:
            grant = self._process.seats.take(
                self._terms, lease_id, room, freed=self._freed[lease_id], waited=self._queued
            )
        except LimiterAway:
            return Grant(0, wait=AWAY)
        self._freed.clear()  # the limiter frees the seats of a lost lease by itself
        self._queued = grant.waits
        if grant.count:
            self._granted_at = time.monotonic()
        if grant.waits or not grant.count:
            jittered = grant.wait * random.uniform(0.75, 1.25)  # noqa: S311
            grant = replace(grant, wait=max(jittered, 0.01))
            reason, _, _ = grant.reason.partition(":")
            self._refused = reason, self.requested_at, grant.wait
        if grant.waits:
            self.wait(grant.wait)
        elif room < want and grant.count:
            return replace(grant, wait=wait)
        return grant

    def _count_wait(self) -> None:
        """Count how long the last refusal kept the slice waiting: an event may have ended that sooner."""
        if self._refused is not None:
            reason, since, wait = self._refused
            self._refused = None
            waited = min(time.monotonic() - since, wait)
            counts.add(metrics.LIMITER_WAIT, proven.group(self._job.group), reason, by=waited)

    def wait(self, seconds: float) -> None:
        """Take no permits until then."""
        self._retry_at = time.monotonic() + seconds

    def is_in_vain(self) -> bool:
        """Whether nothing was granted for moments, and another job waits for the thread."""
        time_now = time.monotonic()
        if time_now - self._granted_at < IN_VAIN or time_now - self._checked_at < RECHECK:
            return False
        self._checked_at = time_now
        with suppress(LimiterAway):
            return limiter().threads.wanted()
        return False

    def give_back(self, lease_id: int, grant: Grant, count: int) -> None:
        """Return the last `count` permits of `grant`, of which no byte was sent."""
        self._process.seats.give_back(self._terms, lease_id, grant, count)

    def leave(self) -> None:
        """Give back freed seats, and leave the queue."""
        self._count_wait()
        lease_id = self._process.lease_id
        freed = self._freed[lease_id]
        if freed or self._queued:
            self._process.seats.leave(self._terms, lease_id, freed=freed, waited=self._queued)
        self._freed.clear()
        self._queued = False

    def leave_queue(self) -> None:
        """Stop being counted as waiting: the slice asks for no more."""
        if self._queued:
            self.leave()

    def report(self, reason: str) -> None:
        """Report what holds the job back besides its limits."""
        try:
            limiter().reasons.report(self._job.job_id, reason)
        except LimiterAway:
            pass  # then Redis holds the job back, and readers see that by themselves

    @property
    def _terms(self) -> CallTerms:
        return self._process.terms(self._job)
