"""A slice of a job whose documents are only stored: it ends them in groups, and needs no permit."""

import time
from collections import Counter
from collections.abc import Mapping
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.core.pipeline import notifications
from app.core.requests.job_context import JobContext
from app.core.worker import store_only, writer
from app.core.worker.process import Process
from app.core.worker.store_only import Ended
from models.session import in_transaction
from tasks.wake import wake

log = structlog.get_logger()

GROUP = 256  # documents of one transaction
LEASE = 1.0  # seconds until a process whose lease is dead may have another


class Storing:
    """One run of the task; see `tasks.slice`."""

    def __init__(
        self, here: Process, job: JobContext, window: tuple[int, int], quota: int | None, until: float
    ) -> None:
        self._process, self._job, self._window = here, job, window
        self._left = quota  # documents that it may take; None: as many as there are
        self._until = until  # monotonic
        self._summary: Counter[str] = Counter()

    def run(self) -> Mapping[str, int]:
        more = True
        with self._process.serving(self._job.job_id, self._window[0]):
            while more and self._may_go_on():
                try:
                    more = self._end_some()
                except SQLAlchemyError as error:  # the rest of the window is offered again
                    log.warning("storage.away", job=self._job.job_id, error=type(error).__name__)
                    break
        return self._summary

    def _may_go_on(self) -> bool:
        return (
            self._left != 0 and time.monotonic() < self._until and self._process.may_start(self._job.job_id)
        )

    def _end_some(self) -> bool:
        """End a group; whether there may be more."""
        window_id, epoch = self._window
        limit = GROUP if self._left is None else min(GROUP, self._left)
        ended = in_transaction(
            partial(
                store_only.end_next,
                job=self._job,
                window_id=window_id,
                epoch=epoch,
                lease_id=self._process.lease_id,
                limit=limit,
            )
        )
        self._tell(ended)
        if ended.more and not ended.outcomes:
            time.sleep(LEASE)
        return ended.more

    def _tell(self, ended: Ended) -> None:
        if not ended.outcomes:
            return
        notifications.look([self._job.job_id])
        writer.tell_failed(ended.written)
        if self._left is not None:
            self._left -= len(ended.outcomes)
        for outcome in ended.outcomes:
            assert outcome.status is not None
            self._summary["records"] += 1
            self._summary[outcome.status.name.lower()] += 1
        if not ended.more:
            wake(self._job.job_id)
