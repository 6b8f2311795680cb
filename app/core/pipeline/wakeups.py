"""When a job must be advanced at the latest: a time in `job_counts`, the last row that any transaction locks.

Messages bring `advance` sooner; this time remains when they are lost. The one-second tick reads it.
"""

from sqlalchemy import case, exists, or_, select, update
from sqlalchemy.orm import Session

from models.base import now
from models.job import JobCounts


def at_latest(session: Session, job_id: int, seconds: float) -> None:
    """Have the job advanced in `seconds`, if not earlier.

    A time already past is set to now. The job is not advanced any sooner for it, but an `advance` that is
    running sees that it was requested again after it began, and does not clear the time.
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
    """Jobs whose time has come, the longest overdue first."""
    return list(session.scalars(_DUE))
