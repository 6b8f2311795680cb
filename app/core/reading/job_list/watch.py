"""What changes in a list of jobs while somebody looks at it, for one narrow statement a second.

It finds its rows by primary key, however many jobs there are. Only jobs that moved are read as a whole. Which
jobs the list has, and how many each filter shows, is asked when a status changed, and every few seconds.
"""

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.reading import jobs, records
from app.core.reading.feed import feed
from app.core.reading.job_list import listing
from app.core.reading.job_list.listing import JobPage, Query, Tally
from app.core.reading.jobs import JobView
from models.job import Job, JobCounts, JobStatus
from models.session import reading

LOOK = 1.0  # seconds between two looks at the jobs of the list
AGAIN = 5.0  # seconds after which a running job, the list and its counts are read in any case
NAP = 0.25  # seconds in which the end of this process is noticed

Mark = tuple[Any, ...]  # changes when a job has moved; its first part is the status


@dataclass(frozen=True, slots=True)
class Change:
    """What is new: the whole page, or only some of its jobs, and the counts; None or nothing: as before."""

    page: JobPage | None = None
    rows: Sequence[JobView] = ()
    tally: Tally | None = None


def watch(
    tenant_id: int, query: Query, before: uuid.UUID | None, limit: int, pace: Callable[[float], float]
) -> Iterator[Change]:
    """The page and its counts, then once a second what has changed, until this process ends.

    `pace` says how long a second is just now.
    """
    seen = _Seen(tenant_id, query, before, limit)
    yield seen.read()
    while _pause(pace(LOOK)):
        yield seen.read_again()


class _Seen:
    """What somebody sees who looks at the list."""

    def __init__(self, tenant_id: int, query: Query, before: uuid.UUID | None, limit: int) -> None:
        self._list = (tenant_id, query, before, limit)
        self._marks: dict[int, Mark] = {}
        self._tally: Tally | None = None
        self._asked_at = 0.0  # monotonic, for the list and its counts

    def read(self) -> Change:
        # In one snapshot: a job that moved between its row and its mark would be taken for seen.
        with records.snapshot() as session:
            page = listing.page(session, *self._list)
            self._marks = _marks(session, [view.id for view in page.jobs])
            return Change(page, tally=self._counts(session))

    def read_again(self) -> Change:
        with reading() as session:
            before, now = self._marks, _marks(session, self._marks)
            is_due = time.monotonic() - self._asked_at >= AGAIN or _statuses(now) != _statuses(before)
            if not is_due or listing.page_ids(session, *self._list) == list(now):
                self._marks = now
                moved = [id for id, mark in now.items() if mark != before[id]]
                tally = self._counts(session) if is_due else None
                return Change(rows=jobs.watched(session, moved) if moved else (), tally=tally)
        return self.read()

    def _counts(self, session: Session) -> Tally | None:
        """The counts, if they are others by now."""
        self._asked_at = time.monotonic()
        tenant_id, query, *_ = self._list
        old, self._tally = self._tally, listing.tally(session, tenant_id, query.text)
        return None if self._tally == old else self._tally


def _marks(session: Session, job_ids: Collection[int]) -> dict[int, Mark]:
    """One of each job, in the order that is given."""
    if not job_ids:
        return {}
    found = session.execute(
        select(Job.id, Job.status, Job.updated_at, JobCounts.seq, JobCounts.cost, JobCounts.queued_at)
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(Job.id.in_(sorted(job_ids)))
    )
    beat = time.monotonic() // AGAIN  # what limits a running job is in no row
    marks = {id: (status, *rest, status == JobStatus.RUNNING and beat) for id, status, *rest in found}
    return {id: marks[id] for id in job_ids if id in marks}


def _statuses(marks: Mapping[int, Mark]) -> list[str]:
    return [mark[0] for mark in marks.values()]


def _pause(seconds: float) -> bool:
    """Wait until the next look; False when this process ends."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not feed().is_stopping:
        time.sleep(min(NAP, left))
    return not feed().is_stopping
