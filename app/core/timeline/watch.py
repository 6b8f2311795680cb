"""The jobs that are pending or running, as the tick sees them once a second, and what it writes of that.

It writes of a job whose state has changed, that has a point due, or of which nothing was written for ten
seconds: a row a second at most, whatever the number of records.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, and_, exists, func, select
from sqlalchemy.orm import Session

from app.core.timeline import clock, points, states
from app.core.timeline.points import Sums
from app.core.timeline.states import Facts
from models.base import any_of, now
from models.job import Job, JobCounts, JobStatus
from models.record import Record, RecordStatus
from models.timeline import JobTime

AT_ONCE = 500  # jobs; of more of them each tick looks at the next
SEEN_EVERY = dt.timedelta(seconds=10)  # at most between two writes of a job that is looked at

any_watched = exists().where(JobTime.watched)


@dataclass(frozen=True, slots=True)
class Live:
    """A job that is pending or running, at one moment; or one that a process of the last release moved on."""

    id: int
    status: JobStatus
    model: str
    queued: bool
    started_at: dt.datetime | None
    unended: int
    claimed: int
    lost: int
    is_delayed: bool
    sums: Sums
    is_due: bool  # for a write, if it is still in `state`
    state: str
    seen_at: dt.datetime
    ended_at: dt.datetime | None

    @property
    def goes_on(self) -> bool:
        return self.status in clock.WATCHED

    def facts(self, word: str | None, *, has_workers: bool) -> Facts:
        """`word`: its `limited_by`."""
        return Facts(word, self.unended, self.claimed, self.lost, self.is_delayed, has_workers)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a job found, to be written."""

    job: Live
    state: str


def live(session: Session, after: int, silent: Collection[int]) -> list[Live]:
    """The next jobs above the number `after`; `silent` are leases whose process does not renew them now."""
    lost = _claimed(any_of(Record.lease_id, silent)) if silent else None
    delayed = and_(
        Record.job_id == JobTime.job_id, Record.status == RecordStatus.WAITING, Record.not_before > now()
    )
    columns: list[Any] = [] if lost is None else [lost.label("lost")]
    statement = (
        select(
            JobTime,
            Job.status,
            Job.model,
            Job.started_at,
            Job.ended_at,
            Job.total,
            JobCounts,
            _claimed().label("claimed"),
            exists().where(delayed).label("is_delayed"),
            now().label("now"),
            *columns,
        )
        .join(Job, Job.id == JobTime.job_id)
        .join(JobCounts, JobCounts.job_id == JobTime.job_id)
        .where(JobTime.watched, JobTime.job_id > after)
        .order_by(JobTime.job_id)
        .limit(AT_ONCE)
    )
    rows: Iterable[Any] = session.execute(statement)
    return [_live(row) for row in rows]


def _claimed(*where: ColumnElement[bool]) -> ScalarSelect[int]:
    """How many records of the job are in workers' hands."""
    return (
        select(func.count())
        .select_from(Record)
        .where(Record.job_id == JobTime.job_id, Record.status == RecordStatus.RUNNING, *where)
        .correlate(JobTime)
        .scalar_subquery()
    )


def _live(row: Any) -> Live:
    time: JobTime = row.JobTime
    counts: JobCounts = row.JobCounts
    sums = Sums(counts.seq, counts.failed, counts.cost)
    return Live(
        id=time.job_id,
        status=JobStatus(row.status),
        model=row.model,
        queued=counts.queued_at is not None,
        started_at=row.started_at,
        unended=row.total - counts.ended,
        claimed=row.claimed,
        lost=getattr(row, "lost", 0),
        is_delayed=row.is_delayed,
        sums=sums,
        is_due=row.now - time.seen_at >= SEEN_EVERY or points.is_due(time, sums, row.now),
        state=time.state,
        seen_at=time.seen_at,
        ended_at=row.ended_at,
    )


def to_write(jobs: Sequence[Live], words: Mapping[int, str | None], *, has_workers: bool) -> list[Look]:
    """The looks that found something to write; `words` has each job's `limited_by`."""
    looks = (Look(job, _state(job, words[job.id], has_workers=has_workers)) for job in jobs)
    return [look for look in looks if look.job.is_due or look.state != look.job.state]


def _state(job: Live, word: str | None, *, has_workers: bool) -> str:
    return states.seen(job.facts(word, has_workers=has_workers)) if job.goes_on else states.after(job.status)


def write(session: Session, looks: Sequence[Look]) -> None:
    """Attribute these jobs' time, and write the points that are due.

    A job whose status changes, or that another tick writes of, at this moment or since it was looked at is
    left to that.
    """
    found = {look.job.id: look for look in looks}
    rows = session.execute(
        select(JobTime, now().label("now"))
        .where(any_of(JobTime.job_id, found), JobTime.watched)
        .order_by(JobTime.job_id)
        .with_for_update(skip_locked=True)
    )
    for row, at in rows.all():
        look = found[row.job_id]
        if row.seen_at != look.job.seen_at:
            continue
        until = look.job.ended_at or at
        clock.attribute(
            session, row, until, look.job.started_at, seen=look.state if look.job.goes_on else None
        )
        row.state, row.seen_at, row.watched = look.state, until, look.job.goes_on
        if points.is_due(row, look.job.sums, at):
            points.add(session, row, look.job.sums, at)
    session.flush()
