"""One slice of a window: its thread claims records and waits, their calls run on the process's loop."""

import queue
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.core.limits.limiter import Grant
from app.core.pipeline import claims, pauses
from app.core.pipeline.claims import Taken
from app.core.pipeline.outcomes import Outcome, Written
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.core.worker.calls import CallObserver
from app.core.worker.claim_queue import ClaimQueue
from app.core.worker.process import Process
from app.core.worker.reports.summary import Summary
from app.core.worker.slice_permits import SlicePermits
from app.errors import BadInput
from config import settings
from models.session import in_transaction

log = structlog.get_logger()

STARTS_FOR = 60.0  # seconds after which it starts no call; celeryconfig's visibility_timeout counts on it
RECHECK = 1.0  # seconds at most between two checks whether anything may start
GATHER = 0.1  # seconds that freed seats wait for more of them, to be filled together; half of all do not wait


class Slice:
    """Other threads queue events; the slice handles them on its own thread."""

    def __init__(
        self,
        process: Process,
        job: JobContext,
        window: tuple[int, int],
        quota: int | None,
        until: float,
        wake: Callable[[int], None],
    ) -> None:
        """Claim up to `quota` records of `window` (id and epoch), and start calls until `until` (monotonic).

        `wake` asks for an `advance` of the job with the given id.
        """
        self._process, self._job, self._wake = process, job, wake
        self._window, self._quota, self._until = window, quota, until
        with suppress(BadInput):  # its records fail with it, one by one
            job.compile()  # on this thread: it may take a second, too long for the loop
        process.clients.prepare(job.provider)
        process.jobs.catch_up()
        process.terms(job)  # caches the limits of its group: the loop has them even with the database away
        self._permits = SlicePermits(process, job)
        self._context = copy_context()  # what log lines and traces name, of its calls too
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._seats = settings.current().records_per_task  # calls in flight at most
        self._in_flight = self._uncommitted = 0  # records with calls, or outcomes, that are still to come
        self._open = True  # the window may hold unclaimed records
        self._remaining: int | None = None  # how many of them at most, once that is known
        self._turns_due = False  # a conversation's next turn may be asked
        self._summary = Summary()

    # --- called on other threads

    def on_ended(self, lease_id: int) -> None:
        self._events.put(partial(self._ended, lease_id))

    def on_room(self) -> None:
        self._events.put(_recheck)

    def on_committed(self, outcome: Outcome, won: bool, group: Written) -> None:
        self._events.put(partial(self._committed, outcome, won, group))

    # --- on its own thread

    def run(self) -> Summary:
        """Claim and ask until the window is drained or the time is over; returns when all is committed."""
        with self._process.served.serving(self._job.job_id, self._window[0]) as claim_queue:
            while self._may_start() or self._uncommitted:
                pause = 0.0
                if self._may_start():
                    pause = self._claim_in_turn(claim_queue)
                elif self._process.storage_lags:
                    self._permits.report("storage")
                self._handle_events(pause)
            self._process.load.stop_waiting(self)
            self._permits.leave()
        return self._summary

    def _may_start(self) -> bool:
        return (
            (self._open or self._turns_due)
            and self._quota != 0
            and time.monotonic() < self._until
            and not (self._uncommitted == 0 and self._permits.is_in_vain())
            and self._process.may_start(self._job.job_id)
        )

    def _claim_in_turn(self, claim_queue: ClaimQueue[CallObserver]) -> float:
        """Start more when its turn has come; returns the `pause` for `_handle_events`."""
        pause = 0.0
        with claim_queue.turn(self) as others:
            if self._may_start():  # unless another slice has claimed its quota for it meanwhile
                pause = self._start_more([other for other in others if isinstance(other, Slice)])
        if self._quota == 0:
            self._permits.leave_queue()
        return pause

    def _start_more(self, others: Sequence["Slice"]) -> float:
        """Take permits first, then claim as many records: what is claimed leaves at once.

        `others` wait to do the same. Those with a quota get their records from this claim: a claim and a
        group of answers cost about as much for one as for twenty.
        """
        if (own := self._wanted()) <= 0:
            return self._wait_for_room()
        shares = [(self, own)]
        shares += [(other, other._quota) for other in others if other._quota and other._may_start()]
        want = min(sum(share for _, share in shares), max(own, self._process.load.room(self._job)))
        lease_id = self._process.lease_id
        grant = self._permits.take(lease_id, want)
        if not grant.count:
            return grant.wait
        taken = self._claim_and_start(lease_id, grant, shares)
        return RECHECK if taken is None else self._after_claim(taken, grant.wait)

    def _wanted(self) -> int:
        """How many permits to take now."""
        if self._gathering_for() > 0 or self._process.load.is_busy(self._job.lane):
            return 0
        known = self._seats if self._remaining is None or self._turns_due else max(self._remaining, 1)
        quota = self._seats if self._quota is None else self._quota
        return min(self._free, known, quota, self._process.load.room(self._job))

    def _wait_for_room(self) -> float:
        """Register for a notice where the loop is busy; returns the seconds to wait for events at most."""
        if (gathering := self._gathering_for()) > 0:
            return gathering if self._free else RECHECK
        if self._process.load.is_busy(self._job.lane):
            self._process.load.wait_for_room(self, self._job.lane)
            return RECHECK
        return RECHECK if self._in_flight else GATHER  # other slices take up the memory of this process

    @property
    def _free(self) -> int:
        return self._seats - self._in_flight

    def _gathering_for(self) -> float:
        """Seconds for which freed seats still wait for more of them."""
        if not self._in_flight or self._free >= self._seats // 2:
            return 0.0
        return self._permits.requested_at + GATHER - time.monotonic()

    def _claim_and_start(
        self, lease_id: int, grant: Grant, shares: Sequence[tuple["Slice", int]]
    ) -> Taken | None:
        """Claim as many records as were granted and start their calls; None when the database is away."""
        try:
            with self._process.held_claims.claiming():  # until `Process.start_calls` holds the records
                taken = in_transaction(_claiming(self._window, self._open, lease_id, grant.count))
                if (unused := grant.count - len(taken.claims)) > 0:
                    self._permits.give_back(lease_id, grant, unused)
                _start_calls(taken, grant, shares)
        except SQLAlchemyError as error:
            _log_storage_away(self._job, error)
            self._permits.give_back(lease_id, grant, grant.count)
            return None
        return taken

    def _start(self, records: Sequence[Claim], grant: Grant, ends_in: float | None) -> None:
        self._in_flight += len(records)
        self._uncommitted += len(records)
        if self._quota is not None:
            self._quota -= len(records)
        self._context.run(self._process.start_calls, self, self._job, records, grant, ends_in)

    def _after_claim(self, taken: Taken, pause: float) -> float:
        """Note what the window still holds; returns the seconds to wait for events."""
        self._open = self._open and taken.open
        self._turns_due = bool(taken.claims) and self._turns_due
        stands_still = taken.remaining == self._remaining
        self._remaining = taken.remaining
        if not taken.open and taken.claims and self._job.attended is None:  # else nothing is left to offer
            self._wake(self._job.job_id)
        if taken.capped is not None:
            self._wait_for_money(taken.capped)
            return RECHECK
        # Not even blocked records were passed over: the lease is dead, and the process will take another.
        return RECHECK if taken.open and not taken.claims and stands_still else pause

    def _wait_for_money(self, needs: int) -> None:
        """The next call does not fit under a cap: calls in flight may free room, else the job pauses."""
        self._permits.report("cap")
        self._permits.wait(RECHECK)
        self._pause_if(partial(pauses.pause_if_spent, needs=needs), "job.capped")

    def _pause_if(self, work: Callable[..., bool], event: str) -> None:
        """Run `work`, which returns whether it paused the job; with the database away, do nothing."""
        if _paused(self._job, work):
            log.warning(event, job=self._job.job_id)
            self._wake(self._job.job_id)

    def _handle_events(self, pause: float) -> None:
        """Wait up to `pause` seconds for the first event, and handle all that have come.

        With no `pause` it waits for outcomes to be committed, if any are to come.
        """
        if not self._uncommitted and not pause:
            return
        try:
            self._events.get(timeout=min(pause, RECHECK) if pause else RECHECK)()
            while True:
                self._events.get_nowait()()
        except queue.Empty:
            return

    def _ended(self, lease_id: int) -> None:
        self._in_flight -= 1
        self._permits.free(lease_id)

    def _committed(self, outcome: Outcome, won: bool, group: Written) -> None:
        self._uncommitted -= 1
        self._turns_due = self._turns_due or self._job.job_id in group.freed
        if won:
            self._summary.add(outcome)
        if outcome.pause is not None:
            self._pause_if(partial(pauses.pause_in_vain, reason=outcome.pause), "job.asks_in_vain")
        if self._job.job_id in group.hopeless:
            self._pause_if(pauses.pause_if_hopeless, "job.hopeless")


def _claiming(window: tuple[int, int], open: bool, lease_id: int, count: int) -> Callable[[Session], Taken]:
    window_id, epoch = window
    if open:
        return partial(claims.take, window_id=window_id, epoch=epoch, lease_id=lease_id, limit=count)
    return partial(claims.take_due, window_id=window_id, lease_id=lease_id, limit=count)


def _start_calls(taken: Taken, grant: Grant, shares: Sequence[tuple[Slice, int]]) -> None:
    """Start the calls of the claimed records, for each slice up to its share."""
    started = 0
    for owner, share in shares:
        if records := taken.claims[started : started + share]:
            owner._start(records, grant.behind(started), taken.ends_in)
        started += len(records)


def _recheck() -> None:
    """There is room for more: any event makes `run` check again whether it may start."""


def _paused(job: JobContext, work: Callable[..., bool]) -> bool:
    """Whether `work` paused the job; False when the database is away.

    A slice that raised here would leave its calls in flight, and their seats taken.
    """
    try:
        return in_transaction(partial(work, job_id=job.job_id))
    except SQLAlchemyError as error:
        _log_storage_away(job, error)
        return False


def _log_storage_away(job: JobContext, error: SQLAlchemyError) -> None:
    log.warning("storage.away", job=job.job_id, error=type(error).__name__)
