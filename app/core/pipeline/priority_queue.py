"""The priority queue: batches with an urgency, of which only MAX_CONCURRENT_BATCHES run at once.

The most urgent starts first, the older of two alike. A batch whose limit group is held does not block others.
Both bounds are over all tenants, and each has a share of them: the bound divided by the tenants that have
batches here. Within its share a tenant is admitted and started though others have filled the bound.
"""

from collections import Counter

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
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
    mine, all_of_them = waiting[tenant_id], waiting.total()
    share = _share(bound, {*waiting, tenant_id})
    if all_of_them + items > bound and mine + items > share:
        whose = "" if share == bound else f", {mine:,} of them yours, and your share is {share:,}"
        raise TooMany(
            f"{all_of_them:,} items are waiting and this adds {items:,}; MAX_QUEUE_SIZE is {bound:,}{whose}:"
            f" try again in {FULL} s",
            {"quota": "MAX_QUEUE_SIZE", "allowed": bound, "used": all_of_them, "asked": items},
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
    if _has_place(session, job):
        return True
    wakeups.at_latest(session, job.id, LOOK)
    return False


def has_place(session: Session, job_id: int) -> bool:
    """Whether the job may start by now, or has: no other has to end first."""
    job = session.get_one(Job, job_id)
    return job.urgency is None or job.status != JobStatus.PENDING or _has_place(session, job)


def _has_place(session: Session, job: Job) -> bool:
    bound, running, ahead = settings.current().max_concurrent_batches, _running(session), _ahead(session, job)
    share = _share(bound, {*running, *ahead, job.tenant_id})
    return running.total() + ahead.total() < bound or running[job.tenant_id] + ahead[job.tenant_id] < share


def wake_next(session: Session) -> None:
    """Let each tenant's next batch look whether it may start, after one has left.

    Locks their `job_counts`, in order, so call it last.
    """
    place = func.row_number().over(partition_by=Job.tenant_id, order_by=(Job.priority.desc(), Job.uid))
    queued = select(Job.id, place.label("place")).where(_QUEUED, ~_held()).subquery()
    following = session.scalars(select(queued.c.id).where(queued.c.place == 1).order_by(queued.c.id)).all()
    for job_id in following:
        wakeups.at_latest(session, job_id, 0)


def position(session: Session, job_id: int) -> int:
    """The batch's position among those that wait, from 1."""
    ahead = select(func.count()).where(_QUEUED, _before(session.get_one(Job, job_id)))
    return (session.scalar(ahead) or 0) + 1


def _share(bound: int, tenants: set[int]) -> int:
    return max(1, bound // len(tenants))


def _ahead(session: Session, job: Job) -> Counter[int]:
    """How many batches of each tenant may start before this one."""
    ahead = select(Job.tenant_id, func.count().label("batches")).where(_QUEUED, _before(job), ~_held())
    return _by_tenant(session, ahead)


def _before(job: Job) -> ColumnElement[bool]:
    return or_(Job.priority > job.priority, and_(Job.priority == job.priority, Job.uid < job.uid))


def _held() -> ColumnElement[bool]:
    return exists().where(LimitGroup.name == Job.limit_group, LimitGroup.held_until > now())


def _running(session: Session) -> Counter[int]:
    """How many batches of each tenant run."""
    statuses = (JobStatus.RUNNING, JobStatus.CANCELLING)
    running = select(Job.tenant_id, func.count().label("batches"))
    return _by_tenant(session, running.where(Job.urgency.is_not(None), Job.status.in_(statuses)))


def _waiting_items(session: Session) -> Counter[int]:
    """Each tenant's items that have neither ended nor are in flight, also of batches still being stored.

    Those of a paused batch do not count: their owner keeps them from being asked, not the queue.
    """
    statuses = (LIVE | {JobStatus.STAGING}) - {JobStatus.PAUSED}
    live = (Job.urgency.is_not(None), Job.status.in_(statuses), Job.closed_as.is_(None))
    unended = (
        select(Job.tenant_id, func.sum(Job.total - JobCounts.ended))
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(*live)
    )
    in_flight = (
        select(Job.tenant_id, func.count())
        .join(Record, Record.job_id == Job.id)
        .where(Record.status == RecordStatus.RUNNING, *live)
    )
    waiting = _by_tenant(session, unended)
    return waiting - _by_tenant(session, in_flight)


def _by_tenant(session: Session, counts: Select[int, int]) -> Counter[int]:
    rows = session.execute(counts.group_by(Job.tenant_id))
    return Counter({row[0]: int(row[1] or 0) for row in rows})
