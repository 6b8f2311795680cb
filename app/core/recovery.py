"""What the sweep does: it finds by state, never by age alone, what a crash left behind."""

import datetime as dt
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from app.core import context, leases, ledger, spend, wakes
from app.core.claim import Claim
from config import settings
from models.base import now
from models.job import FINAL, IdempotencyKey, Job, JobCounts, JobSpec, JobStatus
from models.record import UNASKED, Record, RecordInput, RecordOutput, RecordStatus
from models.session import in_transaction, reading
from models.transitions import moving_records

CHUNK = 5_000  # rows a transaction: one UPDATE of a million held the job's lock for eleven seconds
OVERDUE = 30.0  # seconds past its call's deadline that a record may be held
STAGING = 900.0  # seconds without a written chunk after which an upload's process is taken for dead
KEYS_KEPT = 86_400.0  # seconds that an Idempotency-Key is remembered


class Chunk(NamedTuple):
    """Rows of one job that were written or removed in one transaction; with 0 rows only the job was."""

    job_id: int
    rows: int


def bury(session: Session, lease_id: int, *, died: bool) -> int:
    """End a lease and give back the records that name it; returns how many.

    A death is counted on each record; a process that stops in order gives back without one.
    """
    if not leases.end(session, lease_id):
        return 0
    job_ids = session.scalars(
        select(Record.job_id)
        .where(Record.status == RecordStatus.RUNNING, Record.lease_id == lease_id)
        .distinct()
    ).all()
    held = Record.lease_id == lease_id
    return sum(_give_back(session, job_id, held, died=died) for job_id in sorted(job_ids))


def look_for_dead(session: Session) -> list[int]:
    """One look at the leases; gives back what the dead ones held and returns their ids."""
    dead = leases.look(session)
    for lease_id in dead:
        bury(session, lease_id, died=True)
    return dead


def give_back_overdue() -> dict[int, int]:
    """Give back records held longer than any call may last, though their process lives.

    Returns how many of which job.
    """
    seconds = settings.current().call_deadline + OVERDUE
    overdue = and_(Record.status == RecordStatus.RUNNING, Record.claimed_at <= now(-seconds))
    with reading() as session:
        job_ids = session.scalars(select(Record.job_id).where(overdue).distinct()).all()
    return {
        job_id: in_transaction(partial(_give_back, job_id=job_id, where=overdue, died=False))
        for job_id in job_ids
    }


def held_by(session: Session, lease_id: int) -> dict[int, int]:
    """How many records of which job name the lease."""
    rows = session.execute(
        select(Record.job_id, func.count().label("records"))
        .where(Record.status == RecordStatus.RUNNING, Record.lease_id == lease_id)
        .group_by(Record.job_id)
    )
    return {row.job_id: row.records for row in rows}


def _give_back(session: Session, job_id: int, where: ColumnElement[bool], *, died: bool) -> int:
    """Let records in flight be claimed again; their calls stand as unconfirmed."""
    rows = session.execute(
        moving_records(
            RecordStatus.RUNNING,
            RecordStatus.WAITING,
            Record.job_id == job_id,
            where,
            lease_id=None,
            not_before=now(),
            deaths=Record.deaths + (1 if died else 0),
        ).returning(
            Record.idx,
            Record.attempts,
            Record.request_bytes,
            Record.max_tokens,
            Record.claimed_at,
            Record.reserved,
        )
    ).all()
    if not rows:
        return 0
    job = context.of(job_id)
    attempts = []
    for row in sorted(rows, key=lambda row: row.idx):
        claim = Claim(job_id, row.idx, 0, row.attempts, 0, row.request_bytes, row.max_tokens, None)
        call = ledger.unconfirmed(
            job.model,
            job.params,
            row.request_bytes,
            row.max_tokens or job.max_tokens,
            "process_died",
            left=row.claimed_at or dt.datetime.now(dt.UTC),
        )
        attempts.append(ledger.row(job, claim, ledger.as_reserved(call, row.reserved)))
    ledger.write(session, attempts)
    worst = sum(attempt["cost"] or 0 for attempt in attempts)
    session.execute(
        update(JobCounts)
        .where(JobCounts.job_id == job_id)
        .values(cost_unconfirmed=JobCounts.cost_unconfirmed + worst),
        execution_options={"synchronize_session": False},
    )
    spend.move(session, job_id, job.tenant_id, unconfirmed=worst)
    wakes.at_latest(session, job_id, 0)
    return len(rows)


def settle(session: Session) -> Chunk | None:
    """Write a chunk of the rows of closed jobs, whose pending records have been closed in every query."""
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
    if moved.rowcount < CHUNK:
        job.settled_at = session.scalar(select(now()))
    return Chunk(job.id, moved.rowcount)


def drop_staging(session: Session) -> Chunk | None:
    """Remove a job whose upload was cut off by the end of its web process."""
    job_id = session.scalar(
        select(Job.id).where(Job.status == JobStatus.STAGING, Job.updated_at <= now(-STAGING)).limit(1)
    )
    if job_id is None:
        return None
    removed = _remove_content(session, job_id)
    if not removed:
        for table in (IdempotencyKey, JobCounts, JobSpec):
            session.execute(delete(table).where(table.job_id == job_id))
        session.execute(delete(Job).where(Job.id == job_id, Job.status == JobStatus.STAGING))
    return Chunk(job_id, removed)


def remove_content(session: Session) -> Chunk | None:
    """Remove a chunk of the inputs and outputs of jobs that were deleted or ended long ago."""
    kept = settings.current().keep_days * 86_400.0
    job = session.scalars(
        select(Job)
        .where(
            Job.content_removed_at.is_(None),
            Job.status.in_(FINAL),
            or_(Job.deleted_at.is_not(None), Job.ended_at <= now(-kept)),
        )
        .limit(1)
        .with_for_update(key_share=True, skip_locked=True)
    ).one_or_none()
    if job is None:
        return None
    removed = _remove_rows(session, job.id, (RecordInput, RecordOutput))
    if not removed:
        job.content_removed_at = session.scalar(select(now()))
    return Chunk(job.id, removed)


def forget_keys(session: Session) -> int:
    """Forget Idempotency-Keys of yesterday."""
    gone = session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at <= now(-KEYS_KEPT)))
    assert isinstance(gone, CursorResult)
    return gone.rowcount


def _remove_content(session: Session, job_id: int) -> int:
    return _remove_rows(session, job_id, (RecordInput, RecordOutput, Record))


_PerRecord = type[Record] | type[RecordInput] | type[RecordOutput]


def _remove_rows(session: Session, job_id: int, tables: Sequence[_PerRecord]) -> int:
    """Remove the next chunk of a job's rows from each of `tables`; 0 when none were left."""
    removed = 0
    for table in tables:
        chunk = select(table.idx).where(table.job_id == job_id).order_by(table.idx).limit(CHUNK)
        result = session.execute(
            delete(table).where(table.job_id == job_id, table.idx.in_(chunk)),
            execution_options={"synchronize_session": False},
        )
        assert isinstance(result, CursorResult)
        removed += result.rowcount
    return removed
