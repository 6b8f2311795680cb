"""The words by which a person looks for jobs: each job is found by exactly one of them, and by `all`."""

from collections.abc import Mapping
from enum import StrEnum

from sqlalchemy import ColumnElement, case, func, literal_column, not_, select

from models.job import Job, JobCounts, JobStatus


class StatusFilter(StrEnum):
    ALL = "all"
    WAITING = "waiting"  # complete, nothing asked yet
    RUNNING = "running"  # or being cancelled: calls are in flight
    PAUSED = "paused"
    COMPLETED = "completed"  # every record has ended, none of them failed or expired
    WITH_FAILURES = "with_failures"  # every record has ended, some of them failed or expired
    FAILED = "failed"  # the job itself could not run: no record was asked
    CANCELLED = "cancelled"
    EXPIRED = "expired"


OF_STATUS: Mapping[JobStatus, StatusFilter] = {
    JobStatus.PENDING: StatusFilter.WAITING,
    JobStatus.RUNNING: StatusFilter.RUNNING,
    JobStatus.CANCELLING: StatusFilter.RUNNING,
    JobStatus.PAUSED: StatusFilter.PAUSED,
    JobStatus.COMPLETED: StatusFilter.COMPLETED,
    JobStatus.FAILED: StatusFilter.FAILED,
    JobStatus.CANCELLED: StatusFilter.CANCELLED,
    JobStatus.EXPIRED: StatusFilter.EXPIRED,
}

# Of jobs that ended in an earlier release. Not by a join, for which a planner may read all there are.
_COUNTED = select(JobCounts.failed + JobCounts.expired).where(JobCounts.job_id == Job.id).correlate(Job)
HAS_FAILURES: ColumnElement[bool] = case(
    (Job.status == JobStatus.COMPLETED, func.coalesce(Job.failures, _COUNTED.scalar_subquery(), 0) > 0),
    else_=literal_column("1 = 0"),
)


def where(shown: StatusFilter) -> tuple[ColumnElement[bool], ...]:
    """What is true of the listed jobs that a filter shows."""
    if shown == StatusFilter.ALL:
        return ()
    if shown == StatusFilter.WITH_FAILURES:
        return Job.status == JobStatus.COMPLETED, HAS_FAILURES
    statuses = Job.status.in_([status.value for status, word in OF_STATUS.items() if word == shown])
    return (statuses, not_(HAS_FAILURES)) if shown == StatusFilter.COMPLETED else (statuses,)


def of(status: str, *, has_failures: bool) -> StatusFilter:
    """Under which word, besides `all`, a job is found."""
    return StatusFilter.WITH_FAILURES if has_failures else OF_STATUS[JobStatus(status)]
