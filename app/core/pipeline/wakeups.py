"""When `advance` must look at a job: a time in `job_counts`, the last row that any transaction locks.

Messages hurry it along; this is what is left when they are lost. The one-second tick reads it.
"""

from sqlalchemy import case, exists, or_, select, update
from sqlalchemy.orm import Session

from models.base import now
from models.job import JobCounts


def at_latest(session: Session, job_id: int, seconds: float) -> None:
    """`advance` looks at the job in `seconds`, if not earlier.

    A time that has come is set to now, though that changes nothing of when the job is looked at: an `advance`
    that is under way then sees that it was asked again after it began, and does not clear it.
    """
    session.execute(
        update(JobCounts)
        .where(
            JobCounts.job_id == job_id,
            or_(JobCounts.wake_at.is_(None), JobCounts.wake_at > now(seconds), JobCounts.wake_at <= now()),
        )
        .values(wake_at=case((JobCounts.wake_at <= now(), now()), else_=now(seconds)))
    )


any_due = exists().where(JobCounts.wake_at <= now())  # a job
_DUE = select(JobCounts.job_id).where(JobCounts.wake_at <= now()).order_by(JobCounts.wake_at).limit(500)


def due(session: Session) -> list[int]:
    """Jobs whose time has come, the longest waiting first."""
    return list(session.scalars(_DUE))
