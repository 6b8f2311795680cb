"""Claiming records of a window under a lease. A claim is committed before its call leaves."""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, func, select, update
from sqlalchemy.orm import Session

from app.core.money import caps
from app.core.pipeline import leases, quarantine, wakeups
from app.core.requests import job_context
from app.core.requests.claim import Claim
from app.ingest import documents
from models.base import any_of, now
from models.job import Job, JobCounts, JobStatus
from models.record import Record, RecordInput, RecordOutput, RecordStatus, Window
from models.transitions import moving_records

TURN_BYTES = 100  # roles and braces around a turn and its answer


@dataclass(frozen=True, slots=True)
class Taken:
    """What a slice got. `open` says whether asking again may bring more; `remaining` how much at the most."""

    claims: list[Claim]
    open: bool
    remaining: int = 0
    capped: int | None = None  # pico-dollars that the next call needs, and a cap does not allow now
    ends_in: float | None = None  # seconds until the job has expired; None: it has no time limit


_CLOSED = Taken([], open=False)


def take(session: Session, window_id: int, epoch: int, lease_id: int, limit: int, calls: int = 1) -> Taken:
    """Claim up to `limit` records: first those that were given back and are due, then the window's.

    `calls` is how many leave with each: none where records are not asked.

    Of a window that is `isolated` those that wait to be asked alone, and nothing else.
    Nothing for a window of another epoch, a closed window, a job that does not run, or under a dead lease,
    whose records nobody would give back. Whoever claims a window's last record wakes `advance`.
    """
    # Lock order: (job,) window, records by index, job_counts.
    row = _lock_window(session, window_id, epoch, lease_id)
    if row is None or row.status != JobStatus.RUNNING or row.closed_as is not None:
        return _CLOSED
    if row.due_by is not None and row.due_by <= row.now:
        return _CLOSED
    if not row.lives:
        return Taken([], open=True, remaining=row.Window.last - row.Window.cursor)
    window: Window = row.Window
    end = window.cursor

    def some(most: int) -> list[Claim]:
        nonlocal end
        waiting = quarantine.is_waiting if window.isolated else _due()
        found = _claim_waiting(session, window.job_id, lease_id, waiting, most, calls)
        end = min(window.cursor + most - len(found), window.last)
        if end > window.cursor:
            found += _claim_range(session, window.job_id, lease_id, window.cursor, end, calls)
        _read_inputs(session, window.job_id, found)
        return found

    claims, needs = caps.claim_within(session, window.job_id, some, limit)
    if needs is not None and not claims:
        end = window.cursor
    all_claimed = end == window.last and (window.first < window.last or len(claims) < limit)
    drained = all_claimed and needs is None
    _move_cursor(session, window.id, end, drained=drained)
    if claims and row.time_limit_ms is not None and row.due_by is None:
        _start_clock(session, window.job_id, row.time_limit_ms / 1000)
    if drained and window.drained_at is None:
        wakeups.at_latest(session, window.job_id, 0)
    ends_in = _seconds_left(row.time_limit_ms, row.due_by, row.now)
    return Taken(claims, open=not drained, remaining=window.last - end, capped=needs, ends_in=ends_in)


def _lock_window(session: Session, window_id: int, epoch: int, lease_id: int) -> Any:
    """The window, what holds for its job, and whether the lease lives; None when it is of another epoch."""
    return session.execute(
        select(
            Window,
            Job.status,
            Job.closed_as,
            Job.time_limit_ms,
            JobCounts.due_by,
            leases.lives(lease_id).label("lives"),
            now().label("now"),
        )
        .join(Job, Job.id == Window.job_id)
        .join(JobCounts, JobCounts.job_id == Window.job_id)
        .where(Window.id == window_id, Window.epoch == epoch, Window.closed_at.is_(None))
        .with_for_update(of=Window)
    ).one_or_none()


def _move_cursor(session: Session, window_id: int, cursor: int, *, drained: bool) -> None:
    session.execute(
        update(Window)
        .where(Window.id == window_id)
        .values(cursor=cursor, slice_at=now(), **({"drained_at": now()} if drained else {}))
    )


def _start_clock(session: Session, job_id: int, seconds: float) -> None:
    """The first call of a job with a time limit is about to leave."""
    session.execute(
        update(JobCounts)
        .where(JobCounts.job_id == job_id, JobCounts.due_by.is_(None))
        .values(due_by=now(seconds))
    )
    wakeups.at_latest(session, job_id, seconds)


def _seconds_left(limit_ms: int | None, due_by: dt.datetime | None, time: dt.datetime) -> float | None:
    if limit_ms is None:
        return None
    return limit_ms / 1000 if due_by is None else (due_by - time).total_seconds()


def take_due(session: Session, window_id: int, lease_id: int, limit: int) -> Taken:
    """Claim up to `limit` records that are due: the next turns of conversations that a slice is asking."""
    job_id = session.scalar(
        select(Window.job_id)
        .join(Job, Job.id == Window.job_id)
        .where(
            Window.id == window_id,
            Window.closed_at.is_(None),
            Job.status == JobStatus.RUNNING,
            Job.closed_as.is_(None),
            leases.lives(lease_id),
        )
        .with_for_update(of=Window)
    )
    if job_id is None:
        return _CLOSED

    def some(most: int) -> list[Claim]:
        found = _claim_waiting(session, job_id, lease_id, _due(), most, calls=1)
        _read_inputs(session, job_id, found)
        return found

    claims, needs = caps.claim_within(session, job_id, some, limit)
    return Taken(claims, open=False, capped=needs)


def _due() -> ColumnElement[bool]:
    return and_(Record.status == RecordStatus.WAITING, Record.not_before <= now())


def _claim_waiting(
    session: Session, job_id: int, lease_id: int, which: ColumnElement[bool], limit: int, calls: int
) -> list[Claim]:
    waiting = (
        select(Record.idx)
        .where(Record.job_id == job_id, which)
        .order_by(Record.not_before, Record.idx)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    indices = sorted(session.scalars(waiting))
    if not indices:
        return []
    return _claim(session, job_id, lease_id, RecordStatus.WAITING, any_of(Record.idx, indices), calls)


def _claim_range(
    session: Session, job_id: int, lease_id: int, first: int, end: int, calls: int
) -> list[Claim]:
    return _claim(
        session, job_id, lease_id, RecordStatus.PENDING, and_(Record.idx >= first, Record.idx < end), calls
    )


def _claim(
    session: Session, job_id: int, lease_id: int, old: RecordStatus, where: ColumnElement[bool], calls: int
) -> list[Claim]:
    statement = moving_records(
        old,
        RecordStatus.RUNNING,
        Record.job_id == job_id,
        where,
        lease_id=lease_id,
        attempts=Record.attempts + calls,
        not_before=None,
        claimed_at=now(),
        reserved=None,
    ).returning(
        Record.idx,
        Record.attempts,
        Record.tries,
        Record.request_bytes,
        Record.max_tokens,
        Record.conversation,
    )
    rows = session.execute(statement).all()
    return [
        Claim(
            job_id=job_id,
            idx=row.idx,
            lease_id=lease_id,
            attempt=row.attempts,
            tries=row.tries,
            request_bytes=row.request_bytes,
            max_tokens=row.max_tokens,
            conversation=row.conversation,
        )
        for row in sorted(rows, key=lambda row: row.idx)
    ]


def _read_inputs(session: Session, job_id: int, claims: Sequence[Claim]) -> None:
    if not claims:
        return
    found = session.execute(
        select(RecordInput.idx, RecordInput.body).where(
            RecordInput.job_id == job_id, any_of(RecordInput.idx, (claim.idx for claim in claims))
        )
    )
    bodies = {row.idx: row.body for row in found}
    for claim in claims:
        claim.body = bodies[claim.idx]
    talks = {claim.conversation for claim in claims if claim.conversation is not None}
    if talks:
        turns = _succeeded_turns(session, job_id, talks)
        for claim in claims:
            if claim.conversation is not None:
                before = [turn for turn in turns[claim.conversation] if turn.idx < claim.idx]
                claim.history = [(turn.body, turn.answer) for turn in before]
                claim.request_bytes += sum(turn.request_bytes for turn in before)
        _note_bytes(session, job_id, [claim for claim in claims if claim.history])
    for claim in claims:
        claim.held_bytes = documents.held_bytes(claim.body, claim.request_bytes)


def _note_bytes(session: Session, job_id: int, claims: Sequence[Claim]) -> None:
    """Say in the rows what goes out with earlier turns: whoever finds this process dead has only those."""
    if not claims:
        return
    sent = {claim.idx: claim.request_bytes for claim in claims}
    session.execute(
        update(Record)
        .where(Record.job_id == job_id, any_of(Record.idx, sent))
        .values(sent_bytes=case(sent, value=Record.idx))
    )


class _Turn(NamedTuple):
    idx: int
    body: bytes
    answer: bytes
    request_bytes: int  # that it adds to a later turn's request


def _succeeded_turns(session: Session, job_id: int, talks: set[int]) -> dict[int, list[_Turn]]:
    rows = session.execute(
        select(
            Record.conversation,
            Record.idx,
            Record.request_bytes,
            RecordInput.body,
            RecordOutput.body.label("answer"),
        )
        .join(RecordInput, and_(RecordInput.job_id == Record.job_id, RecordInput.idx == Record.idx))
        .join(RecordOutput, and_(RecordOutput.job_id == Record.job_id, RecordOutput.idx == Record.idx))
        .where(
            Record.job_id == job_id,
            any_of(Record.conversation, talks),
            Record.status == RecordStatus.SUCCEEDED,
        )
        .order_by(Record.idx)
    )
    shared_bytes_of = job_context.of(job_id).shared_bytes_of
    turns: dict[int, list[_Turn]] = defaultdict(list)
    for row in rows:
        adds = max(row.request_bytes - shared_bytes_of(row.body), 0) + len(row.answer) + TURN_BYTES
        turns[row.conversation].append(_Turn(row.idx, row.body, row.answer, adds))
    return turns


def due_count(session: Session, job_id: int, at_most: int) -> int:
    """How many records of the job could be claimed now besides its windows' own, counted up to `at_most`."""
    due = select(Record.idx).where(Record.job_id == job_id, _due()).limit(at_most).subquery()
    return session.scalar(select(func.count()).select_from(due)) or 0


def next_due(session: Session, job_id: int) -> dt.datetime | None:
    """When the next of the job's waiting records may be asked."""
    return session.scalar(
        select(func.min(Record.not_before)).where(
            Record.job_id == job_id, Record.status == RecordStatus.WAITING
        )
    )
