"""One slice of a window: its thread claims and waits, the calls are on the process's loop."""

import queue
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.core.limits.limiter import Grant, LimiterAway, limiter
from app.core.pipeline import claims, pauses
from app.core.pipeline.claims import Taken
from app.core.pipeline.outcomes import Outcome, Written
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.core.worker.process import Process
from app.errors import BadInput
from config import settings
from models.record import RecordStatus
from models.session import in_transaction

log = structlog.get_logger()

# Seconds after which a slice starts no call; celeryconfig's visibility_timeout counts on it.
STARTS_FOR = 60.0


LISTEN = 1.0  # seconds at most between two looks at whether anything may start


GATHER = 0.1  # seconds that freed seats wait for others, to be filled together; half of all do not wait


Summary = dict[str, int]


class _Said(Enum):
    """What the loop says to a slice in a word."""

    ENDED = "a call has ended"
    ROOM = "there is room for more"


class Slice:
    """One run of the task. The loop's and the writer's threads tell it through a queue."""

    def __init__(
        self,
        here: Process,
        job: JobContext,
        window: tuple[int, int],
        quota: int | None,
        until: float,
        wake: Callable[[int], None],
    ) -> None:
        self._process = here
        self._job = job
        with suppress(BadInput):  # a record says so when it is asked
            job.compile()  # on this thread: it may take a second, and the loop has not so long
        here.prepare(self._job.provider)
        here.catch_up()
        here.terms(
            self._job
        )  # from here on the figures of its group are known, whatever becomes of the database
        self._window = window
        self._quota = quota
        self._told: queue.SimpleQueue[tuple[Outcome, bool, Written] | _Said] = queue.SimpleQueue()
        self._seats = settings.current().records_per_task
        self._until = until  # monotonic
        self._wake = wake
        self._in_flight = 0  # calls
        self._unwritten = 0  # records of this slice whose outcome is not committed
        self._freed = 0  # seats to give back with the next word to the limiter
        self._open = True  # the window may hold more
        self._left: int | None = None  # how many at most
        self._turns_due = False  # a conversation's next turn may be asked
        self._wait = 0.0  # seconds that the limiter said
        self._waits = False  # the limiter counts this slice as waiting
        self._ask_at = 0.0  # monotonic: asking the limiter earlier is in vain
        self._asked_at = float("-inf")  # monotonic
        self._summary: Counter[str] = Counter()

    # --- told by other threads

    def ended(self) -> None:
        self._told.put(_Said.ENDED)

    def may_go_on(self) -> None:
        self._told.put(_Said.ROOM)

    def written(self, outcome: Outcome, won: bool, group: Written) -> None:
        self._told.put((outcome, won, group))

    # --- the task's own thread

    def run(self) -> Mapping[str, int]:
        with self._process.serving(self._job.job_id, self._window[0]) as turns:
            while self._may_start() or self._unwritten:
                self._wait = 0.0
                if self._may_start():
                    with turns.taken(self) as others:
                        if self._may_start():  # if nobody has claimed for it meanwhile
                            self._start_more([other for other in others if isinstance(other, Slice)])
                    if self._waits and self._quota == 0:
                        self._return_seats()  # what asks no more must not look as if it waited
                elif self._process.storage_lags:
                    self._say("storage")
                self._listen()
            self._process.forget(self)
            self._return_seats()
        return self._summary

    def _may_start(self) -> bool:
        return (
            (self._open or self._turns_due)
            and self._quota != 0
            and time.monotonic() < self._until
            and self._process.may_start(self._job.job_id)
        )

    def _start_more(self, others: Sequence["Slice"]) -> None:
        """Permits first, then as many claims: what is claimed leaves at once.

        `others` wait to do the same. Those of one record get it from here: a claim and a group of answers
        cost about as much for one as for twenty.
        """
        own = self._wanted()
        if own <= 0:
            return
        shares = [(self, own)]
        shares += [(other, other._quota) for other in others if other._quota and other._may_start()]
        want = min(sum(share for _, share in shares), max(own, self._process.room(self._job)))
        if (early := self._ask_at - time.monotonic()) > 0:
            self._wait = early
            return
        self._asked_at = time.monotonic()
        try:
            terms = self._process.terms(self._job)
            grant = self._process.seating.take(
                terms, self._process.lease_id, want, freed=self._freed, waited=self._waits
            )
        except LimiterAway:
            self._wait = LISTEN
            return
        self._freed = 0
        self._waits = grant.waits
        if grant.waits or not grant.count:
            self._wait = max(grant.wait * random.uniform(0.75, 1.25), 0.01)  # noqa: S311 - jitter
        if grant.waits:
            self._ask_at = time.monotonic() + self._wait
        if not grant.count:
            return
        lease_id = self._process.lease_id
        try:
            with self._process.holding.claiming():
                taken = self._take(lease_id, grant.count)
                self._start(taken, grant, lease_id, shares)
        except SQLAlchemyError as error:
            self._say_storage_is_away(error)
            self._give_back(grant, grant.count, lease_id)
            self._wait = LISTEN
            return
        if taken.open and not taken.claims:
            self._wait = LISTEN  # under a dead lease; the process takes another
        if taken.capped is not None:
            self._wait_for_money(taken.capped)
        self._open = self._open and taken.open
        self._turns_due = bool(taken.claims) and self._turns_due
        self._left = taken.left
        if not taken.open and taken.claims:
            self._wake(self._job.job_id)

    def _wait_for_money(self, needs: int) -> None:
        """The next call does not fit under a cap: calls in flight may leave room, or the job pauses."""
        self._say("cap")
        self._wait = LISTEN
        self._ask_at = time.monotonic() + LISTEN
        if self._did(partial(pauses.pause_if_spent, job_id=self._job.job_id, needs=needs)):
            log.warning("job.capped", job=self._job.job_id)
            self._wake(self._job.job_id)

    def _wanted(self) -> int:
        """How many records to ask permits for now; with none, for how long to listen."""
        free = self._seats - self._in_flight
        early = self._asked_at + GATHER - time.monotonic()
        if self._in_flight and free < self._seats // 2 and early > 0:
            self._wait = early if free else LISTEN
            return 0
        if self._process.has_enough(self):
            self._wait = LISTEN
            return 0
        known = self._seats if self._left is None or self._turns_due else max(self._left, 1)
        quota = self._seats if self._quota is None else self._quota
        want = min(free, known, quota, self._process.room(self._job))
        if want <= 0:
            self._wait = LISTEN if self._in_flight else GATHER  # others of this process hold its memory
        return want

    def _take(self, lease_id: int, count: int) -> Taken:
        window_id, epoch = self._window
        if self._open:
            return in_transaction(
                partial(claims.take, window_id=window_id, epoch=epoch, lease_id=lease_id, limit=count)
            )
        return in_transaction(partial(claims.take_due, window_id=window_id, lease_id=lease_id, limit=count))

    def _start(
        self, taken: Taken, grant: Grant, lease_id: int, shares: Sequence[tuple["Slice", int]]
    ) -> None:
        """Start the calls of what was taken, of each slice up to its share."""
        found = taken.claims
        if len(found) < grant.count:
            self._give_back(grant, grant.count - len(found), lease_id)
        started = 0
        for asker, share in shares:
            if mine := found[started : started + share]:
                asker._ask(mine, grant.behind(started), taken.ends_in)
            started += len(mine)

    def _ask(self, claims: Sequence[Claim], grant: Grant, ends_in: float | None) -> None:
        self._in_flight += len(claims)
        self._unwritten += len(claims)
        if self._quota is not None:
            self._quota -= len(claims)
        self._process.ask(self, self._job, claims, grant, ends_in)

    def _listen(self) -> None:
        """Hear what has ended and what is written; wait for it if nothing can be started."""
        timeout = min(self._wait, LISTEN) if self._wait else LISTEN
        if not self._unwritten and not self._wait:
            return
        try:
            self._hear(self._told.get(timeout=timeout))
            while True:
                self._hear(self._told.get_nowait())
        except queue.Empty:
            return

    def _hear(self, news: tuple[Outcome, bool, Written] | _Said) -> None:
        if news is _Said.ENDED:
            self._in_flight -= 1
            self._freed += 1
        if isinstance(news, _Said):
            return
        outcome, won, group = news
        self._unwritten -= 1
        self._turns_due = self._turns_due or self._job.job_id in group.freed
        if won:
            self._count(outcome)
        if self._job.job_id in group.hopeless:
            self._pause_if_hopeless()

    def _count(self, outcome: Outcome) -> None:
        usage = outcome.call.usage
        self._summary["records"] += 1
        self._summary["succeeded"] += outcome.status is RecordStatus.SUCCEEDED
        self._summary["failed"] += outcome.status is RecordStatus.FAILED
        self._summary["retried"] += outcome.claim.attempt > 1
        self._summary["tokens"] += usage.input_tokens + usage.output_tokens
        self._summary["cost"] += outcome.call.cost or 0

    def _pause_if_hopeless(self) -> None:
        if self._did(partial(pauses.pause_if_hopeless, job_id=self._job.job_id)):
            log.warning("job.hopeless", job=self._job.job_id)
            self._wake(self._job.job_id)

    def _did(self, work: Callable[[Session], bool]) -> bool:
        """Whether `work` was done now. With the database away it waits for its next occasion: a slice that
        raised would leave its calls in flight, and their seats taken.
        """
        try:
            return in_transaction(work)
        except SQLAlchemyError as error:
            self._say_storage_is_away(error)
            return False

    def _say_storage_is_away(self, error: SQLAlchemyError) -> None:
        log.warning("storage.away", job=self._job.job_id, error=type(error).__name__)

    def _return_seats(self) -> None:
        if self._freed or self._waits:
            self._process.seating.leave(
                self._process.terms(self._job),
                self._process.lease_id,
                freed=self._freed,
                waited=self._waits,
            )
            self._freed, self._waits = 0, False

    def _say(self, reason: str) -> None:
        try:
            limiter().say(self._job.job_id, reason)
        except LimiterAway:
            pass  # then that is what holds the job back, and readers see it

    def _give_back(self, grant: Grant, count: int, lease_id: int) -> None:
        self._process.seating.give_back(self._process.terms(self._job), lease_id, grant, count)
