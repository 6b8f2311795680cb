"""Stalled jobs: found by state, for the log and the metrics. Nothing here repairs them.

A job has good reason to wait for a known time (`not_before`, `wake_at`), for calls in flight, for the permit
of a slice, or in the line or the queue while workers are busy with others. One that does none of these was
forgotten.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session

from app.core.pipeline import leases
from models.base import now
from models.job import IS_UNENDED, Job, JobCounts, JobStatus
from models.record import Record, RecordOutput, RecordStatus, Window

LATE = 60.0  # seconds past its wake time: the tick runs once a second
STILL = 300.0  # seconds without progress; a window that no worker serves is offered again by then
FRESH = 15.0  # seconds within which an offer should be taken up
SHOWN = 100
ADVANCED = (JobStatus.PENDING, JobStatus.RUNNING, JobStatus.CANCELLING)


@dataclass(frozen=True, slots=True)
class Stuck:
    """A job and why it counts as stuck."""

    job_id: int
    uid: uuid.UUID
    name: str | None
    why: str


def find(session: Session) -> list[Stuck]:
    """Up to `SHOWN` of each kind, found only by indices: of live jobs, of records in flight or waiting."""
    time = session.scalars(select(now())).one()
    stuck = {row.id: _stuck(row, _overdue(row, time)) for row in session.execute(_late())}
    still = [row for row in session.execute(_still()) if row.id not in stuck]
    waiting = _in_hand_or_queued(session, [row.id for row in still]) if still else frozenset()
    stuck |= {row.id: _stuck(row, _idle(row, time)) for row in still if row.id not in waiting}
    return list(stuck.values())


def oldest_due(session: Session) -> float:
    """For how many seconds a job has been due to be advanced; 0 when none is."""
    row = session.execute(
        select(JobCounts.wake_at, now().label("time"))
        .where(JobCounts.wake_at <= now())
        .order_by(JobCounts.wake_at)
        .limit(1)
    ).one_or_none()
    return 0.0 if row is None else float((row.time - row.wake_at).total_seconds())


def _late() -> Select[*tuple[Any, ...]]:
    """Jobs whose wake time is long past."""
    return (
        select(Job.id, Job.uid, Job.name, JobCounts.wake_at)
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(JobCounts.wake_at <= now(-LATE), Job.status.in_(ADVANCED))
        .order_by(JobCounts.wake_at)
        .limit(SHOWN)
    )


def _still() -> Select[*tuple[Any, ...]]:
    """Jobs with nothing in flight, nothing due at a known time, and no progress for long."""
    in_flight = (
        select(Record.idx)
        .where(Record.job_id == Job.id, Record.status == RecordStatus.RUNNING)
        .correlate(Job)
        .exists()
    )
    to_come = (
        select(Record.idx)
        .where(
            Record.job_id == Job.id,
            Record.status == RecordStatus.WAITING,
            Record.not_before > now(-STILL),
        )
        .correlate(Job)
        .exists()
    )
    answered_at = (
        select(RecordOutput.ended_at)
        .where(RecordOutput.job_id == Job.id, RecordOutput.seq == JobCounts.seq)
        .correlate(Job, JobCounts)
        .scalar_subquery()
    )
    moved_at = func.coalesce(answered_at, Job.updated_at)
    # No work continues at the time of expiry.
    will_wake = and_(
        JobCounts.wake_at > now(-LATE), or_(Job.expires_at.is_(None), JobCounts.wake_at < Job.expires_at)
    )
    return (
        select(Job.id, Job.uid, Job.name, moved_at.label("moved_at"))
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(
            IS_UNENDED,
            Job.status.in_(ADVANCED),
            Job.updated_at <= now(-STILL),
            or_(JobCounts.wake_at.is_(None), ~will_wake),
            ~in_flight,
            ~to_come,
            JobCounts.queued_at.is_(None),
            moved_at <= now(-STILL),
        )
        .order_by(Job.id)
        .limit(SHOWN)
    )


def _in_hand_or_queued(session: Session, job_ids: Sequence[int]) -> frozenset[int]:
    """The jobs with a window that a worker serves, that was just offered, or that waits in the queue."""
    served = leases.served_windows(session)
    unclosed = and_(Window.job_id.in_(job_ids), Window.closed_at.is_(None))
    good = [Window.id.in_(served), Window.offered_at > now(-FRESH)]
    if served:  # workers are busy: what is published and not yet claimed is in the queue
        good.append(and_(Window.published_at.is_not(None), Window.drained_at.is_(None)))
    return frozenset(session.scalars(select(Window.job_id).where(unclosed, or_(*good))))


def _stuck(row: Any, why: str) -> Stuck:
    return Stuck(row.id, row.uid, row.name, why)


def _overdue(row: Any, time: dt.datetime) -> str:
    late = (time - row.wake_at).total_seconds()
    return f"it was due to be advanced {late:.0f} s ago, and was not"


def _idle(row: Any, time: dt.datetime) -> str:
    still = (time - row.moved_at).total_seconds()
    return f"it has no call in flight, no worker serves it, and nothing has changed for {still:.0f} s"
