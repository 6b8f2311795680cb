"""Records for which no provider is asked, so each ends in the transaction that claims it.

They are documents that are only stored, whose bytes were in the object store before they could be claimed,
and requests of a job that were all refused when it came. There is no call, no permit, no attempt
and no moment at which a crash could leave one half done.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.core.money import ledger
from app.core.pipeline import claims, notifications, outcomes
from app.core.pipeline.outcomes import Outcome, Written
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.core.worker import writer
from app.core.worker.process import Process
from app.core.worker.reports.summary import Summary
from app.ingest import documents
from app.ingest.values import to_json
from models.record import RecordStatus
from models.session import in_transaction

log = structlog.get_logger()

GROUP = 256  # documents of one transaction
LEASE = 1.0  # seconds until a process whose lease is dead may have taken another


@dataclass(frozen=True, slots=True)
class Ended:
    """Documents that have ended; `more`: the window may hold others."""

    outcomes: list[Outcome]
    written: Written
    more: bool


def end_next(
    session: Session, job: JobContext, window_id: int, epoch: int, lease_id: int, limit: int
) -> Ended:
    """Claim and end up to `limit` documents of a window."""
    taken = claims.take(session, window_id, epoch, lease_id, limit, calls=0)
    group = [_outcome(job, claim) for claim in taken.claims]
    return Ended(group, outcomes.write(session, group), taken.open)


class StoreOnly:
    """A slice that ends documents in groups, and needs no permit; see `app.core.worker.slice.Slice`."""

    def __init__(
        self,
        process: Process,
        job: JobContext,
        window: tuple[int, int],
        quota: int | None,
        until: float,
        wake: Callable[[int], None],
    ) -> None:
        self._process, self._job, self._window = process, job, window
        self._remaining = quota  # documents that it may take; None: as many as there are
        self._until = until  # monotonic
        self._wake = wake
        self._summary = Summary()

    def run(self) -> Summary:
        more = True
        with self._process.served.serving(self._job.job_id, self._window[0]):
            while more and self._may_continue():
                try:
                    more = self._end_group()
                except SQLAlchemyError as error:  # the rest of the window is offered again
                    log.warning("storage.away", job=self._job.job_id, error=type(error).__name__)
                    break
        return self._summary

    def _may_continue(self) -> bool:
        return (
            self._remaining != 0
            and time.monotonic() < self._until
            and self._process.may_start(self._job.job_id)
        )

    def _end_group(self) -> bool:
        """End a group of documents; returns whether there may be more."""
        window_id, epoch = self._window
        limit = GROUP if self._remaining is None else min(GROUP, self._remaining)
        ended = in_transaction(
            partial(
                end_next,
                job=self._job,
                window_id=window_id,
                epoch=epoch,
                lease_id=self._process.lease_id,
                limit=limit,
            )
        )
        self._report(ended)
        if ended.more and not ended.outcomes:
            time.sleep(LEASE)
        return ended.more

    def _report(self, ended: Ended) -> None:
        if not ended.outcomes:
            return
        notifications.publish([self._job.job_id])
        writer.log_failed(ended.written)
        if self._remaining is not None:
            self._remaining -= len(ended.outcomes)
        for outcome in ended.outcomes:
            self._summary.add(outcome)
        if not ended.more:
            self._wake(self._job.job_id)


def _outcome(job: JobContext, claim: Claim) -> Outcome:
    outcome = Outcome(job, claim, ledger.NO_CALL, RecordStatus.SUCCEEDED)
    document = documents.read(claim.body)
    if document is None:
        why = json.loads(claim.body)["refused"]
        outcome.status = RecordStatus.FAILED
        outcome.error_type, outcome.error_message = why["type"], why["message"]
        return outcome
    if document.fault is None:
        outcome.body = to_json(document.as_answer())
    else:
        outcome.status = RecordStatus.FAILED
        outcome.error_type, outcome.error_message = documents.BAD_DOCUMENT, document.fault
    return outcome
