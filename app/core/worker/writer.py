"""The one writer of a process: writes whatever has finished while its last commit ran."""

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeout

from app.core.outages import database, servers
from app.core.pipeline import notifications, outcomes
from app.core.pipeline.outcomes import Outcome, Written
from models.record import RecordStatus
from models.session import in_transaction

log = structlog.get_logger()

GATHER = 0.02  # seconds at least between two commits: a result is visible within a tenth of a second
GROUP = 256  # answers at most in one transaction
RETRY_EVERY = 1.0  # seconds; the database is away and answers wait

# Called with an outcome, whether its fence let it through, and what was written with its group.
OnCommitted = Callable[[Outcome, bool, Written], None]


class Writer:
    """Takes outcomes from any thread; after their commit it calls `on_committed`, on its own thread."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Outcome, OnCommitted] | None] = queue.SimpleQueue()
        self._oldest: float | None = None  # monotonic, of the group being written
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def put(self, outcome: Outcome, on_committed: OnCommitted) -> None:
        self._waiting.put((outcome, on_committed))

    def lag(self) -> float:
        """Seconds that the oldest answer has waited for its commit."""
        oldest = self._oldest
        return 0.0 if oldest is None else time.monotonic() - oldest

    def stop(self) -> None:
        """Write what is left and end."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            self._oldest = time.monotonic()
            group, last = self._gather(first)
            self._write(group)
            self._oldest = None
            if last:
                return

    def _gather(self, first: tuple[Outcome, OnCommitted]) -> tuple[list[tuple[Outcome, OnCommitted]], bool]:
        group = [first]
        until = time.monotonic() + GATHER
        while len(group) < GROUP:
            try:
                item = self._waiting.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return group, False
            if item is None:
                return group, True
            group.append(item)
        return group, False

    def _write(self, group: Sequence[tuple[Outcome, OnCommitted]]) -> None:
        written = _write_or_wait([outcome for outcome, _ in group])
        notifications.publish({outcome.job.job_id for outcome, _ in group})
        log_failed(written)
        for outcome, on_committed in group:
            try:
                on_committed(outcome, outcome in written.won, written)
            except Exception:  # a bug of ours, of one slice: the answers of all others come through here
                log.exception("record.not_reported", **outcome.job.facts, index=outcome.claim.idx)


def log_failed(written: Written) -> None:
    """Log the records of a group that have failed."""
    for outcome in written.won:
        if outcome.status is RecordStatus.FAILED:
            log.warning(
                "record.failed", **outcome.job.facts, index=outcome.claim.idx, error_type=outcome.error_type
            )


def _write_or_wait(group: list[Outcome]) -> Written:
    """Write a group however long the database is away: these answers are paid for."""
    while True:
        try:
            return in_transaction(partial(outcomes.write, group=group))
        except Exception as error:
            if _is_permanent(error):
                return _write_one_by_one(group, error)
            database.DATABASE.noticed("answers", servers.kind(error))
            time.sleep(RETRY_EVERY)


def _is_permanent(error: Exception) -> bool:
    """Whether waiting is useless. It is not while a server is away, full, read-only or out of connections."""
    if isinstance(error, DBAPIError):
        return isinstance(error, DataError | IntegrityError)
    return not isinstance(error, SQLAlchemyTimeout | OSError)


def _write_one_by_one(group: list[Outcome], error: Exception) -> Written:
    """Isolate the outcome whose data cannot be stored; the others are written."""
    if len(group) == 1:
        facts, index = group[0].job.facts, group[0].claim.idx
        log.error("record.unstorable", **facts, index=index, error=servers.kind(error))
        return _write_or_wait([_unstorable(group[0])]) if group[0].body is not None else _give_up(error)
    merged = Written()
    for outcome in group:
        written = _write_or_wait([outcome])
        merged.won |= {outcome} if written.won else set()
        merged.freed |= written.freed
        merged.hopeless |= written.hopeless
    return merged


def _unstorable(outcome: Outcome) -> Outcome:
    """The same call, paid and in the ledger, without the answer that the database refused."""
    return dataclasses.replace(
        outcome,
        status=RecordStatus.FAILED,
        body=None,
        stop_reason=None,
        error_type="unstorable_answer",
        error_message="The answer arrived and is paid for, but the database refused to store it.",
    )


def _give_up(error: Exception) -> Written:
    """A bug of ours, not the data's fault: the records stay claimed until they are overdue and given back."""
    if isinstance(error, DBAPIError):
        log.error("storage.refused", error=type(error).__name__)
    return Written()
