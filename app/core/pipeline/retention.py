"""Deferred updates and removals, one chunk per transaction.

The rows of closed jobs get the status that every query shows already; abandoned uploads, content past its
retention and old Idempotency-Keys are removed.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from app.core.pipeline import measuring
from config import settings
from models.base import now
from models.document import Blob, Handoff
from models.file import FileBatch
from models.job import FINAL, IdempotencyKey, Job, JobCounts, JobSpec, JobStatus
from models.job_table import JobTable
from models.record import (
    UNASKED,
    AskedRequest,
    Record,
    RecordCopy,
    RecordInput,
    RecordOutput,
    RecordStatus,
)
from models.timeline import JobPoint, JobTime
from models.transitions import moving_records

CHUNK = 5_000  # rows per transaction: one UPDATE of a million held the job's lock for eleven seconds


STAGING = 900.0  # seconds without a stored chunk after which an upload without a lease counts as abandoned


KEYS_KEPT = 86_400.0  # seconds that an Idempotency-Key is remembered


class Chunk(NamedTuple):
    """How many rows of a job one transaction wrote or removed; with 0 only the job itself was."""

    job_id: int
    rows: int


def settle(session: Session) -> Chunk | None:
    """Update a chunk of a closed job's records, which every query shows as closed already."""
    job = session.scalars(
        select(Job)
        .where(Job.closed_as.is_not(None), Job.settled_at.is_(None), Job.status.in_(FINAL))
        .order_by(Job.id)
        .limit(1)
        .with_for_update(key_share=True, skip_locked=True)
    ).one_or_none()
    if job is None:
        return None
    assert job.closed_as is not None
    chunk = (
        select(Record.idx)
        .where(Record.job_id == job.id, Record.status.in_(UNASKED))
        .order_by(Record.idx)
        .limit(CHUNK)
    )
    moved = session.execute(
        moving_records(
            UNASKED,
            RecordStatus[job.closed_as.upper()],
            Record.job_id == job.id,
            Record.idx.in_(chunk),
            not_before=None,
        )
    )
    assert isinstance(moved, CursorResult)
    measuring.records_closed(session, job.closed_as, moved.rowcount)
    if moved.rowcount < CHUNK:
        # Its readers see no change: they were shown all of it as closed when it ended.
        session.execute(
            update(Job).where(Job.id == job.id).values(settled_at=now(), updated_at=Job.updated_at)
        )
    return Chunk(job.id, moved.rowcount)


def drop_staging(session: Session) -> Chunk | None:
    """Remove a chunk of a job whose upload was abandoned, or came from a release without leases for them."""
    forgotten = and_(Job.lease_id.is_(None), Job.updated_at <= now(-STAGING))
    job_id = session.scalar(
        select(Job.id)
        .where(Job.status == JobStatus.STAGING, or_(Job.deleted_at.is_not(None), forgotten))
        .limit(1)
    )
    if job_id is None:
        return None
    removed = _remove_content(session, job_id)
    if not removed:
        for table in (IdempotencyKey, JobCounts, JobSpec, JobTable, JobTime, FileBatch):
            session.execute(delete(table).where(table.job_id == job_id))
        session.execute(delete(Job).where(Job.id == job_id, Job.status == JobStatus.STAGING))
    return Chunk(job_id, removed)


def content_is_due() -> tuple[ColumnElement[bool], ...]:
    """The condition for jobs that were deleted or ended long ago, and still have content."""
    kept = settings.current().keep_days * 86_400.0
    return (
        Job.content_removed_at.is_(None),
        Job.status.in_(FINAL),
        or_(Job.deleted_at.is_not(None), Job.ended_at <= now(-kept)),
    )


def remove_content(session: Session) -> Chunk | None:
    """Remove a chunk of the inputs and outputs of a job whose content is due and whose objects are gone."""
    has_blobs = select(Blob.id).where(Blob.job_id == Job.id).exists()
    job = session.scalars(
        select(Job)
        .where(*content_is_due(), ~has_blobs)
        .limit(1)
        .with_for_update(key_share=True, skip_locked=True)
    ).one_or_none()
    if job is None:
        return None
    removed = _remove_rows(session, job.id, (RecordInput, RecordOutput, AskedRequest, Handoff))
    if not removed:
        for table in (JobTable, JobPoint):
            session.execute(delete(table).where(table.job_id == job.id))
        job.content_removed_at = session.scalar(select(now()))
    return Chunk(job.id, removed)


def forget_keys(session: Session) -> int:
    """Remove Idempotency-Keys older than a day."""
    gone = session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at <= now(-KEYS_KEPT)))
    assert isinstance(gone, CursorResult)
    return gone.rowcount


def _remove_content(session: Session, job_id: int) -> int:
    return _remove_rows(session, job_id, (RecordInput, RecordOutput, AskedRequest, RecordCopy, Record))


_PerRecord = (
    type[Record]
    | type[RecordInput]
    | type[RecordOutput]
    | type[RecordCopy]
    | type[AskedRequest]
    | type[Handoff]
)


def _remove_rows(session: Session, job_id: int, tables: Sequence[_PerRecord]) -> int:
    """Remove the next chunk of a job's rows from each of `tables`; 0 when none were left."""
    removed = 0
    for table in tables:
        chunk = select(table.idx).where(table.job_id == job_id).order_by(table.idx).limit(CHUNK)
        result = session.execute(delete(table).where(table.job_id == job_id, table.idx.in_(chunk)))
        assert isinstance(result, CursorResult)
        removed += result.rowcount
    return removed
