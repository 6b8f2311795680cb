"""A job's time is attributed whenever its state changes: all of it since the last change, to one state.

So a job that stays as it is costs no write, and the states sum to its wall clock whoever attributes them,
under the lock of the job's row of `job_time`.
"""

import datetime as dt
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.timeline import points, states
from app.core.timeline.points import Sums
from models import transitions
from models.job import Job, JobCounts, JobStatus
from models.record import Attempt, Record, RecordOutput, RecordStatus
from models.timeline import JobTime

WATCHED = frozenset({JobStatus.PENDING, JobStatus.RUNNING})  # by the tick, which says in which state they are
UNSEEN = dt.timedelta(seconds=60)  # without a look of the tick: then nothing ran
MILLISECOND = dt.timedelta(milliseconds=1)


def move_job(
    session: Session, job: Job, new: JobStatus, *, waits_for: str | None = None, **values: Any
) -> None:
    """Move a job as `models.transitions` does, and keep its time.

    `waits_for`: the state that its time is spent on from now on; None: what follows from the status.
    """
    old = JobStatus(job.status)
    transitions.move_job(session, job, new, **values)
    if job.attended is None and (old, new) != (JobStatus.PENDING, JobStatus.RUNNING):
        _enter(session, job, old, waits_for or states.after(new))


def _enter(session: Session, job: Job, old: JobStatus, state: str) -> None:
    at = job.ended_at or job.updated_at
    row = session.get(JobTime, job.id, with_for_update=True)
    if row is None:
        if old == JobStatus.STAGING:
            session.add(_first(job, state, at))
        return
    attribute(session, row, at, job.started_at)
    row.state, row.seen_at = state, at
    row.watched = job.status in WATCHED
    if not row.watched:
        points.add(session, row, _sums(session, job.id), at)
    session.flush()


def _first(job: Job, state: str, at: dt.datetime) -> JobTime:
    row = JobTime(job_id=job.id, milliseconds={}, since=job.created_at, points=0)
    _spend(row, states.STORING, at)
    row.state, row.seen_at, row.watched = state, at, job.status in WATCHED
    row.point_at, row.seq, row.failed, row.cost = at, job.reused, 0, 0
    return row


def attribute(
    session: Session,
    row: JobTime,
    at: dt.datetime,
    started_at: dt.datetime | None,
    seen: str | None = None,
) -> None:
    """Attribute the time from the row's `since` until `at`; `seen` is the state that a look finds then."""
    if row.watched:
        _split(session, row, at, started_at, seen)
    _spend(row, row.state, at)


def _split(
    session: Session, row: JobTime, at: dt.datetime, started_at: dt.datetime | None, seen: str | None
) -> None:
    """Attribute what is known better than by looks: when calls began and ended, and that nobody looked."""
    if row.state == states.QUEUE and started_at is not None and row.since <= started_at:
        first = _first_call(session, row.job_id)
        if first is not None and first < at:
            _spend(row, states.QUEUE, first)
            row.state = states.PROVIDER if seen in (None, states.QUEUE, states.FINISHING) else seen
    if row.state != states.FINISHING and seen in (None, states.FINISHING):
        last = _last_answer_of_all(session, row.job_id)
        if last is not None and row.since <= last < at:
            _spend(row, row.state, last)
            row.state = states.FINISHING
    seen_at = max(row.seen_at, row.since)
    if at - seen_at > UNSEEN:
        _spend(row, row.state, seen_at)
        row.state = states.STOPPED


def _spend(row: JobTime, state: str, until: dt.datetime) -> None:
    """Whole milliseconds, the rest of one later; and none if another transaction's clock was ahead."""
    spent = max(0, (until - row.since) // MILLISECOND)
    if spent:
        row.milliseconds = row.milliseconds | {state: row.milliseconds.get(state, 0) + spent}
        row.since += spent * MILLISECOND


def _first_call(session: Session, job_id: int) -> dt.datetime | None:
    """When the job's first call left; asked once, while few have."""
    claimed = select(func.min(Record.claimed_at)).where(
        Record.job_id == job_id, Record.status == RecordStatus.RUNNING
    )
    asked = select(func.min(Attempt.started_at)).where(Attempt.job_id == job_id)
    found = session.execute(select(claimed.scalar_subquery(), asked.scalar_subquery())).one()
    return min((at for at in found if at is not None), default=None)


def _last_answer_of_all(session: Session, job_id: int) -> dt.datetime | None:
    """When the job's last record ended; None while one has not."""
    return session.scalar(
        select(RecordOutput.ended_at)
        .join(JobCounts, JobCounts.job_id == RecordOutput.job_id)
        .join(Job, Job.id == RecordOutput.job_id)
        .where(RecordOutput.job_id == job_id, RecordOutput.seq == JobCounts.seq, JobCounts.ended >= Job.total)
    )


def _sums(session: Session, job_id: int) -> Sums:
    row = session.execute(
        select(JobCounts.seq, JobCounts.failed, JobCounts.cost).where(JobCounts.job_id == job_id)
    ).one()
    return Sums(row.seq, row.failed, row.cost)
