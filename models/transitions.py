"""The only way to change a status: the allowed transitions, and the guarded UPDATE that makes them.

    job      staging ─► pending ─► running ─► completed | failed
                          │  ▲        │  ▲
                          ▼  │        ▼  │
                         paused ◄─► running          any live job ─► cancelling ─► cancelled | expired
             completed, failed, cancelled, expired ─► running     (retry)

    record   pending ─► running ─► succeeded | failed | cancelled | expired
             blocked ─► waiting ─► running ─► waiting             (freed; given back)
             pending | blocked | waiting ─► cancelled | expired   (the job was closed)
             blocked ─► succeeded | failed                        (a copy ends with what it is a copy of)
             pending ─► waiting                                   (asked before the others)
             failed | expired | succeeded ─► waiting | blocked    (retry; succeeded: an answer that was cut)

The database decides which of two racing changes wins; the caller learns it from the result.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Update, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from app.errors import IllegalMove
from models.job import Job, JobStatus
from models.record import Record, RecordStatus
from models.webhook import DeliveryStatus, WebhookDelivery

_J = JobStatus
JOB_MOVES: Mapping[JobStatus, frozenset[JobStatus]] = {
    _J.STAGING: frozenset({_J.PENDING}),
    _J.PENDING: frozenset({_J.RUNNING, _J.PAUSED, _J.CANCELLING, _J.COMPLETED, _J.FAILED}),
    _J.RUNNING: frozenset({_J.PAUSED, _J.CANCELLING, _J.COMPLETED, _J.FAILED}),
    _J.PAUSED: frozenset({_J.PENDING, _J.RUNNING, _J.CANCELLING, _J.COMPLETED}),
    _J.CANCELLING: frozenset({_J.CANCELLED, _J.EXPIRED, _J.COMPLETED}),
    _J.COMPLETED: frozenset({_J.RUNNING}),
    _J.FAILED: frozenset({_J.RUNNING}),
    _J.CANCELLED: frozenset({_J.RUNNING}),
    _J.EXPIRED: frozenset({_J.RUNNING}),
}

_R = RecordStatus
RECORD_MOVES: Mapping[RecordStatus, frozenset[RecordStatus]] = {
    _R.PENDING: frozenset({_R.WAITING, _R.RUNNING, _R.CANCELLED, _R.EXPIRED}),
    _R.BLOCKED: frozenset({_R.WAITING, _R.SUCCEEDED, _R.FAILED, _R.CANCELLED, _R.EXPIRED}),
    _R.WAITING: frozenset({_R.RUNNING, _R.CANCELLED, _R.EXPIRED}),
    _R.RUNNING: frozenset({_R.WAITING, _R.SUCCEEDED, _R.FAILED, _R.CANCELLED, _R.EXPIRED}),
    _R.SUCCEEDED: frozenset({_R.WAITING, _R.BLOCKED}),
    _R.FAILED: frozenset({_R.WAITING, _R.BLOCKED}),
    _R.CANCELLED: frozenset(),
    _R.EXPIRED: frozenset({_R.WAITING, _R.BLOCKED}),
}

_D = DeliveryStatus
DELIVERY_MOVES: Mapping[DeliveryStatus, frozenset[DeliveryStatus]] = {
    _D.PENDING: frozenset({_D.SUCCEEDED, _D.FAILED}),
    _D.SUCCEEDED: frozenset({_D.PENDING}),  # sent again on request
    _D.FAILED: frozenset({_D.PENDING}),
}


def move_job(session: Session, job: Job, new: JobStatus, **values: Any) -> None:
    """Move `job`, whose row the caller has locked, from its present status to `new`.

    Called by `app.core.timeline.clock.move_job` alone, which keeps the job's time as well.
    """
    old = JobStatus(job.status)
    if new not in JOB_MOVES[old]:
        raise IllegalMove(f"job {job.uid}", old, new)
    statement = update(Job).where(Job.id == job.id, Job.status == old).values(status=new, **values)
    moved = session.execute(statement)
    assert isinstance(moved, CursorResult)
    assert moved.rowcount == 1, "no other transaction moves a job whose row is locked"
    session.refresh(job)


def moving_records(
    old: RecordStatus | frozenset[RecordStatus], new: RecordStatus, *where: ColumnElement[bool], **values: Any
) -> Update:
    """The guarded UPDATE that moves records from `old` to `new`; it returns or counts those that moved."""
    statuses = frozenset({old}) if isinstance(old, RecordStatus) else old
    for status in statuses:
        if new not in RECORD_MOVES[status]:
            raise IllegalMove("a record", status.name, new.name)
    guard = Record.status == next(iter(statuses)) if len(statuses) == 1 else Record.status.in_(statuses)
    return update(Record).where(*where, guard).values(status=new, **values)


def moving_deliveries(new: DeliveryStatus, *where: ColumnElement[bool], **values: Any) -> Update:
    """The guarded UPDATE that moves deliveries of webhooks to `new` from where they may go there."""
    before = [old for old, after in DELIVERY_MOVES.items() if new in after]
    guard = WebhookDelivery.status.in_(before)
    return update(WebhookDelivery).where(*where, guard).values(status=new, **values)
