"""The line of jobs that have records to offer, and no thread of a slice worker for them.

It is kept in rows: `job_counts.queued_at`. The tenant whose slices hold the fewest threads is next, and of
its jobs the one that holds the fewest for its priority; of these the one that has waited longest for its
priority.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import case, exists, func, or_, select, update
from sqlalchemy.orm import Session

from app.core.limits.threads import Held
from app.core.pipeline.windows import Offer
from models.base import any_of, now
from models.job import Job, JobCounts
from models.record import Window

SEEN = 16  # of a tenant's waiting jobs: the oldest ones, and as many of the most urgent

any_waiting = exists().where(JobCounts.queued_at.is_not(None))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job in the line."""

    job_id: int
    tenant_id: int  # its job's `lane`
    priority: int
    seconds: float  # it has waited


def put_off(session: Session, offers: Sequence[Offer]) -> None:
    """Withdraw offers of a job for which there is no thread, and put the job in the line."""
    session.execute(
        update(Window).where(any_of(Window.id, [offer.window_id for offer in offers])).values(offered_at=None)
    )
    job_id = offers[0].job_id
    session.execute(
        update(JobCounts)
        .where(JobCounts.job_id == job_id, JobCounts.queued_at.is_(None))
        .values(queued_at=now())
    )


def leave(session: Session, job_id: int) -> None:
    """The job has nothing more to offer for now."""
    session.execute(update(JobCounts).where(JobCounts.job_id == job_id).values(queued_at=None))


def read(session: Session) -> list[Waiting]:
    """The front of every tenant's line."""
    ranked = (
        select(
            Job.id,
            Job.tenant_id,
            case((Job.attended.is_(None), Job.tenant_id), else_=-Job.tenant_id).label("lane"),
            Job.priority,
            JobCounts.queued_at,
            now().label("time"),
            func.row_number().over(partition_by=Job.tenant_id, order_by=JobCounts.queued_at).label("oldest"),
            func.row_number()
            .over(partition_by=Job.tenant_id, order_by=(Job.priority.desc(), JobCounts.queued_at))
            .label("most_urgent"),
        )
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(JobCounts.queued_at.is_not(None))
        .subquery()
    )
    rows = session.execute(select(ranked).where(or_(ranked.c.oldest <= SEEN, ranked.c.most_urgent <= SEEN)))
    return [Waiting(row.id, row.lane, row.priority, _seconds(row.time - row.queued_at)) for row in rows]


def in_turn(waiting: Sequence[Waiting], held: Held, refused: set[int]) -> Iterator[Waiting]:
    """The jobs of the line, each when it is its turn by what is held at that moment.

    Jobs of tenants that are added to `refused` meanwhile are passed over.
    """
    left = list(waiting)
    while left := [job for job in left if job.tenant_id not in refused]:
        job = min(left, key=lambda one: _place(one, held))
        left.remove(job)
        yield job


def _place(job: Waiting, held: Held) -> tuple[int, float, float]:
    return held.tenants[job.tenant_id], held.jobs[job.job_id] / job.priority, -job.seconds * job.priority


def _seconds(waited: dt.timedelta) -> float:
    return max(waited.total_seconds(), 0.0)
