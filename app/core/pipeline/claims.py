"""Claiming records of a window under a lease. A claim is committed before its call leaves."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Update, and_, func, select, update
from sqlalchemy.orm import Session

from app.core.money import caps
from app.core.money.caps import Caps
from app.core.pipeline import leases, quarantine, wakeups
from app.core.requests import inputs
from app.core.requests.claim import Claim
from app.core.requests.prompt_cache.layout import LIFETIMES
from models.base import any_of, looked_up, now
from models.job import Job, JobCounts, JobStatus
from models.record import Record, RecordStatus, Window
from models.transitions import moving_records


@dataclass(frozen=True, slots=True)
class Taken:
    """What a slice got. `open`: another claim may bring more; `remaining`: how many records at most."""

    claims: list[Claim]
    open: bool
    remaining: int = 0
    capped: int | None = None  # pico-dollars that the next call needs and a cap does not allow now
    ends_in: float | None = None  # seconds until the job has expired; None: it has no time limit


_CLOSED = Taken([], open=False)


def take(session: Session, window_id: int, epoch: int, lease_id: int, limit: int, calls: int = 1) -> Taken:
    """Claim up to `limit` records: first those that were given back and are due, then the window's.

    `calls` is how many calls each record starts: 0 where records are not asked.

    An `isolated` window yields only records that wait to be asked in isolation. A window of another epoch, a
    closed window, a job that is not running and a dead lease (nobody would give back its records) yield
    nothing. The claim of a window's last record wakes `advance`.
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
    waiting = quarantine.is_waiting if window.isolated else _due()
    found = _claim(
        session, _Wanted(window.job_id, lease_id, waiting, window.cursor, window.last, limit, calls)
    )
    claims = found.claims
    _note_keep(claims, row.keep)
    all_claimed = found.end == window.last and (window.first < window.last or len(claims) < limit)
    drained = all_claimed and found.needs is None
    _move_cursor(session, window.id, found.end, drained=drained)
    if claims and row.time_limit_ms is not None and row.due_by is None:
        _start_clock(session, window.job_id, row.time_limit_ms / 1000)
    if drained and window.drained_at is None and row.attended is None:  # whose only record this is
        wakeups.at_latest(session, window.job_id, 0)
    ends_in = _seconds_left(row.time_limit_ms, row.due_by, row.now)
    remaining = window.last - found.end
    return Taken(claims, open=not drained, remaining=remaining, capped=found.needs, ends_in=ends_in)


def _lock_window(session: Session, window_id: int, epoch: int, lease_id: int) -> Any:
    """The window, the state of its job, and whether the lease is alive; None for another epoch."""
    return session.execute(
        select(
            Window,
            Job.status,
            Job.closed_as,
            Job.time_limit_ms,
            Job.attended,
            Job.keep,
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
    """Claim up to `limit` due records: the next turns of conversations that a slice is working on."""
    window = session.execute(
        select(Window.job_id, Job.keep)
        .join(Job, Job.id == Window.job_id)
        .where(
            Window.id == window_id,
            Window.closed_at.is_(None),
            Job.status == JobStatus.RUNNING,
            Job.closed_as.is_(None),
            leases.lives(lease_id),
        )
        .with_for_update(of=Window)
    ).one_or_none()
    if window is None:
        return _CLOSED

    found = _claim(session, _Wanted(window.job_id, lease_id, _due(), first=0, last=0, limit=limit))
    _note_keep(found.claims, window.keep)
    return Taken(found.claims, open=False, capped=found.needs)


def _note_keep(claims: Sequence[Claim], keep: str | None) -> None:
    for claim in claims:
        claim.keep = keep if keep in LIFETIMES else None


def extend(session: Session, claim: Claim, sent_bytes: int, needs: int) -> bool:
    """Let a claimed record make another call, larger than the one it was claimed for.

    The call has `sent_bytes` and may cost `needs` pico-dollars, which take the place of what the claim has
    reserved; returns False where the caps have no room for them.
    """
    this = (Record.job_id == claim.job_id, Record.idx == claim.idx, Record.lease_id == claim.lease_id)
    session.execute(select(Record.idx).where(*this).with_for_update())  # before the rows of caps
    limits = None if claim.reserved is None else caps.caps_of(session, claim.job_id)
    if limits is not None and needs > caps.find_room(session, limits).left + (claim.reserved or 0):
        return False
    reserved = None if claim.reserved is None else needs
    session.execute(update(Record).where(*this).values(sent_bytes=sent_bytes, reserved=reserved))
    return True


def _due() -> ColumnElement[bool]:
    return and_(Record.status == RecordStatus.WAITING, Record.not_before <= now())


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Up to `limit` records of a job: those matching `waiting`, then pending ones from `first` to `last`."""

    job_id: int
    lease_id: int
    waiting: ColumnElement[bool]
    first: int
    last: int  # exclusive
    limit: int
    calls: int = 1


@dataclass(frozen=True, slots=True)
class _Found:
    """Records, the `waiting` ones first, and the index at which the range continues."""

    claims: list[Claim]
    waiting: int
    end: int
    needs: int | None = None  # pico-dollars of the record that does not fit under a cap


def _claim(session: Session, wanted: _Wanted) -> _Found:
    """Claim what is wanted; under a cap read it first, check the room, and claim what fits."""
    limits = caps.caps_of(session, wanted.job_id)
    found = _find(session, wanted, _move if limits is None else _look)
    if limits is not None:
        found = _claim_fitting(session, wanted, limits, found)
    _note_bytes(session, wanted.job_id, [claim for claim in found.claims if claim.history])
    return found


_Get = Callable[[Session, _Wanted, RecordStatus, ColumnElement[bool]], list[Claim]]


def _find(session: Session, wanted: _Wanted, get: _Get) -> _Found:
    indices = _lock_waiting(session, wanted)
    waiting = get(session, wanted, RecordStatus.WAITING, any_of(Record.idx, indices)) if indices else []
    end = min(wanted.first + wanted.limit - len(waiting), wanted.last)
    within = and_(Record.idx >= wanted.first, Record.idx < end)
    pending = get(session, wanted, RecordStatus.PENDING, within) if end > wanted.first else []
    inputs.read(session, wanted.job_id, waiting + pending)
    return _Found(waiting + pending, len(waiting), end)


def _lock_waiting(session: Session, wanted: _Wanted) -> list[int]:
    waiting = (
        select(Record.idx)
        .where(Record.job_id == wanted.job_id, wanted.waiting)
        .order_by(Record.not_before, Record.idx)
        .limit(wanted.limit)
        .with_for_update(skip_locked=True)
    )
    return sorted(session.scalars(waiting))


def _move(session: Session, wanted: _Wanted, old: RecordStatus, where: ColumnElement[bool]) -> list[Claim]:
    """Claim the records of status `old` that match `where`."""
    moving = _moving(wanted, old, where, reserved=None)
    return _claims(wanted, session.execute(moving.returning(Record.attempts, *_READ)).all())


def _look(session: Session, wanted: _Wanted, old: RecordStatus, where: ColumnElement[bool]) -> list[Claim]:
    """Lock these records, which precede a cap's row in the lock order; returns the claims to be made."""
    attempts = (Record.attempts + wanted.calls).label("attempts")
    statement = select(attempts, *_READ).where(Record.job_id == wanted.job_id, where, Record.status == old)
    return _claims(wanted, session.execute(statement.order_by(Record.idx).with_for_update()).all())


def _claim_fitting(session: Session, wanted: _Wanted, limits: Caps, seen: _Found) -> _Found:
    """Claim what fits under the caps; the range continues with the first record that does not."""
    claims, needs = caps.fitting(session, limits, seen.claims)
    if claims:
        reserved = {claim.idx: claim.reserved or 0 for claim in claims}
        where = any_of(Record.idx, reserved)
        either = frozenset({RecordStatus.PENDING, RecordStatus.WAITING})
        session.execute(_moving(wanted, either, where, reserved=looked_up(Record.idx, reserved)))
    end = seen.end
    if needs is not None:
        end = wanted.first if len(claims) < seen.waiting else seen.claims[len(claims)].idx
    return _Found(claims, seen.waiting, end, needs)


def _moving(
    wanted: _Wanted,
    old: RecordStatus | frozenset[RecordStatus],
    where: ColumnElement[bool],
    reserved: ColumnElement[int] | None,
) -> Update:
    return moving_records(
        old,
        RecordStatus.RUNNING,
        Record.job_id == wanted.job_id,
        where,
        lease_id=wanted.lease_id,
        attempts=Record.attempts + wanted.calls,
        not_before=None,
        claimed_at=now(),
        reserved=reserved,
    )


_READ = (Record.idx, Record.tries, Record.request_bytes, Record.max_tokens, Record.conversation)


def _claims(wanted: _Wanted, rows: Sequence[Any]) -> list[Claim]:
    return [
        Claim(
            job_id=wanted.job_id,
            idx=row.idx,
            lease_id=wanted.lease_id,
            attempt=row.attempts,
            tries=row.tries,
            request_bytes=row.request_bytes,
            max_tokens=row.max_tokens,
            conversation=row.conversation,
        )
        for row in sorted(rows, key=lambda row: row.idx)
    ]


def _note_bytes(session: Session, job_id: int, claims: Sequence[Claim]) -> None:
    """Store the sizes of requests with earlier turns: recovery after a crash has only the rows."""
    if not claims:
        return
    sent = {claim.idx: claim.request_bytes for claim in claims}
    session.execute(
        update(Record)
        .where(Record.job_id == job_id, any_of(Record.idx, sent))
        .values(sent_bytes=looked_up(Record.idx, sent))
    )


def due_count(session: Session, job_id: int, at_most: int) -> int:
    """How many records outside the job's windows could be claimed now, counted up to `at_most`."""
    due = select(Record.idx).where(Record.job_id == job_id, _due()).limit(at_most).subquery()
    return session.scalar(select(func.count()).select_from(due)) or 0


def next_due(session: Session, job_id: int) -> dt.datetime | None:
    """When the job's next waiting record may be asked."""
    return session.scalar(
        select(func.min(Record.not_before)).where(
            Record.job_id == job_id, Record.status == RecordStatus.WAITING
        )
    )
