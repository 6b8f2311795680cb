"""The priority queue: batches with an urgency, of which only MAX_CONCURRENT_BATCHES run at once.

The most urgent starts first, the older of two alike; tenants share the queue. A batch whose limit group is
held does not block others.
"""

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from app.core.pipeline import batch_settings, wakeups
from app.errors import Conflict, TooMany
from config import settings
from models.base import now
from models.job import LIVE, Job, JobCounts, JobStatus
from models.limit import LimitGroup
from models.record import Record, RecordStatus

FULL = 5  # seconds after which a refused caller may try again
LOOK = 60.0  # seconds between two checks of a waiting batch, should nothing wake it

_QUEUED = and_(Job.urgency.is_not(None), Job.status == JobStatus.PENDING, Job.closed_as.is_(None))


def admit(session: Session, tenant_id: int, label: str | None, items: int) -> None:
    """Raise `TooMany` when `items` more would not fit, `Conflict` when a live job has the label.

    No other batch is admitted until the commit.
    """
    batch_settings.lock(session)
    if label is not None:
        _refuse_taken(session, tenant_id, label)
    bound, waiting = settings.current().max_queue_size, _waiting_items(session)
    if waiting + items > bound:
        raise TooMany(
            f"{waiting:,} items are waiting and this adds {items:,}; MAX_QUEUE_SIZE is {bound:,}:"
            f" try again in {FULL} s",
            {"quota": "MAX_QUEUE_SIZE", "allowed": bound, "used": waiting, "asked": items},
            retry_after=FULL,
        )


def _refuse_taken(session: Session, tenant_id: int, label: str) -> None:
    live = LIVE | {JobStatus.STAGING}
    taken = (
        select(Job.id).where(Job.tenant_id == tenant_id, Job.label == label, Job.status.in_(live)).limit(1)
    )
    if session.scalar(taken) is not None:
        raise Conflict(f"the batch {label!r} has not ended: use another batch_id, or wait until it has ended")


def may_start(session: Session, job: Job) -> bool:
    """Whether the job may start, or must wait for others in the queue; if so, a wake-up is scheduled."""
    if job.urgency is None or job.status != JobStatus.PENDING:
        return True
    batch_settings.lock(session)
    if _running(session) + _ahead(session, job, startable=True) < settings.current().max_concurrent_batches:
        return True
    wakeups.at_latest(session, job.id, LOOK)
    return False


def wake_next(session: Session) -> None:
    """Let the next batch start after one has left. Locks that batch's `job_counts`, so call it last."""
    following = session.scalar(
        select(Job.id).where(_QUEUED, ~_held()).order_by(Job.priority.desc(), Job.uid).limit(1)
    )
    if following is not None:
        wakeups.at_latest(session, following, 0)


def position(session: Session, job_id: int) -> int:
    """The batch's position among those that wait, from 1."""
    return _ahead(session, session.get_one(Job, job_id), startable=False) + 1


def _ahead(session: Session, job: Job, *, startable: bool) -> int:
    first = or_(Job.priority > job.priority, and_(Job.priority == job.priority, Job.uid < job.uid))
    ahead = select(func.count()).select_from(Job).where(_QUEUED, first)
    return session.scalar(ahead.where(~_held()) if startable else ahead) or 0


def _held() -> ColumnElement[bool]:
    return exists().where(LimitGroup.name == Job.limit_group, LimitGroup.held_until > now())


def _running(session: Session) -> int:
    statuses = (JobStatus.RUNNING, JobStatus.CANCELLING)
    running = select(func.count()).where(Job.urgency.is_not(None), Job.status.in_(statuses))
    return session.scalar(running) or 0


def _waiting_items(session: Session) -> int:
    """Items that have neither ended nor are in flight, including those of batches still being stored."""
    live = (Job.urgency.is_not(None), Job.status.in_(LIVE | {JobStatus.STAGING}), Job.closed_as.is_(None))
    unended = (
        select(func.sum(Job.total - JobCounts.ended))
        .select_from(Job)
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(*live)
    )
    in_flight = (
        select(func.count())
        .select_from(Record)
        .join(Job, Job.id == Record.job_id)
        .where(Record.status == RecordStatus.RUNNING, *live)
    )
    return int(session.scalar(unended) or 0) - int(session.scalar(in_flight) or 0)
