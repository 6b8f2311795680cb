"""A job that is tried first: some records, spread over all, are asked; then it pauses with a forecast.

The chosen records wait as those that were given back do, so a window of their own serves them; `advance`
opens no other until the job is resumed. What they were answered is theirs: nothing of it is asked or paid
again.
"""

import structlog
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.core.money import job_forecast
from app.core.pause_reasons import TRIED
from app.core.pipeline import lifecycle
from models.base import any_of, now
from models.job import Job, JobCounts
from models.record import Record, RecordOutput, RecordStatus
from models.transitions import moving_records

log = structlog.get_logger(__name__)

_UNDER_WAY = frozenset({RecordStatus.WAITING, RecordStatus.RUNNING})


def goes_on(job: Job) -> bool:
    """Whether only the chosen records are asked yet."""
    return job.try_first is not None and job.tried_at is None


def is_due(job: Job) -> bool:
    return goes_on(job) and job.started_at is None


def begin(session: Session, job: Job) -> None:
    """Let the chosen records be claimed, unless that was done."""
    if _is_any(session, job, Record.status.in_(_UNDER_WAY)):
        return
    these = any_of(Record.idx, _chosen(session, job, job.try_first or 0))
    session.execute(
        moving_records(
            RecordStatus.PENDING, RecordStatus.WAITING, Record.job_id == job.id, these, not_before=now()
        )
    )


def has_ended(session: Session, job: Job) -> bool:
    """Whether the chosen records have ended, which their job does not know yet."""
    return goes_on(job) and not _is_any(session, job, Record.status.in_(_UNDER_WAY))


def end(session: Session, job: Job) -> None:
    """Pause the job, with what it will cost."""
    asked = (RecordOutput.job_id == job.id, RecordOutput.copy_of.is_(None))
    ended = (session.scalar(select(func.count()).where(*asked)) or 0) - job.reused
    job.tried_at = session.scalar(select(now()))
    found = job_forecast.of(session, job)
    job.forecast = None if found is None else found._asdict()
    session.flush()
    log.info("job.tried", job=str(job.uid), records=ended)
    lifecycle.pause_because(
        session,
        job,
        f"{TRIED} {ended:,} of its records, spread over all: resume it, and the others are asked, too.",
    )


def compare(session: Session, job: Job) -> None:
    """Note, once, that the job has cost more than was forecast."""
    if job.forecast is None or job.dearer_at is not None:
        return
    cost = session.scalars(select(JobCounts.cost).where(JobCounts.job_id == job.id)).one()
    if cost > job.forecast["high"]:
        job.dearer_at = session.scalar(select(now()))
        log.warning("job.dearer", job=str(job.uid))


def _is_any(session: Session, job: Job, where: ColumnElement[bool]) -> bool:
    found = select(Record.idx).where(Record.job_id == job.id, where).limit(1)
    return session.scalar(found) is not None


def _chosen(session: Session, job: Job, count: int) -> list[int]:
    """Up to `count` records to be asked: of as many equal parts of the job the one in its middle, or near."""
    parts = [(part * job.total // count, (part + 1) * job.total // count) for part in range(count)]
    middles = [(low + high) // 2 for low, high in parts]
    pending = select(Record.idx).where(Record.job_id == job.id, Record.status == RecordStatus.PENDING)
    found = set(session.scalars(pending.where(any_of(Record.idx, middles))))
    for (low, high), middle in zip(parts, middles, strict=True):
        if middle not in found:
            behind = pending.where(Record.idx > middle, Record.idx < high).order_by(Record.idx).limit(1)
            before = (
                pending.where(Record.idx >= low, Record.idx < middle).order_by(Record.idx.desc()).limit(1)
            )
            nearest = session.scalar(behind) or session.scalar(before)
            found |= set() if nearest is None else {nearest}
    if len(found) < count:  # some parts are answered already
        first = session.scalars(pending.order_by(Record.idx).limit(count)).all()
        found.update([idx for idx in first if idx not in found][: count - len(found)])
    return sorted(found)
