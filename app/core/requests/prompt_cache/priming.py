"""When one record of a job is asked before all others, so that they read what its provider has kept of it.

Whether the provider still has it shows in the job's newest answers: a call that wrote or read it was made
within its lifetime, or else one is asked alone again.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.requests import job_context
from app.core.requests.prompt_cache import layout
from app.core.requests.prompt_cache.layout import FIVE_MINUTES, HOUR, LIFETIMES
from models.base import now
from models.job import Job, JobCounts
from models.record import Record, RecordInput, RecordOutput, RecordStatus, Window

# What is kept costs 1.25 times an input (2 times for an hour) once and a tenth of it for each that reads it.
LEAST_RECORDS = 3
SPARE = 30.0  # seconds before the end of its lifetime, from which on nobody counts on what is kept
PATIENCE = 30.0  # seconds; a call that takes longer has begun its answer, and what is kept can be read then
LOOKED_AT = 50  # of the newest answers
LOOKED_INTO = 3  # of these answers' requests, which may be large
TRIED = 5  # records that were asked alone, one after the other, and brought no answer
ENOUGH = 2  # answers that show that nothing is kept: a single one may have set for itself what is to be
NOT_KEPT = "none"


@dataclass(frozen=True, slots=True)
class Plan:
    """How the job's next records are offered."""

    keep: str | None = None  # see `models.job.Job`
    alone: bool = False  # one of them only
    waits: float | None = None  # seconds until it matters that the record asked alone has not been answered


def plan(session: Session, job: Job, seconds_apart: float) -> Plan:
    """The plan for what the job offers next, if it starts a call every `seconds_apart`."""
    lasts = _lifetime_for(seconds_apart)
    if (
        lasts is None
        or job.total - job.copies < LEAST_RECORDS
        or (context := job_context.of(job.id)).shared is None
    ):
        return Plan()
    if job.keep == NOT_KEPT:
        return Plan(NOT_KEPT)
    time = session.scalars(select(now())).one()
    calls = _recent_calls(session, job.id, time - dt.timedelta(seconds=LIFETIMES[job.keep or lasts] - SPARE))
    cached = [call.idx for call in calls if _uses_cache(call)]
    if cached and (context.template_source is not None or _any_as_told(session, job.id, cached)):
        return Plan(lasts)
    if job.keep is not None and sum(call.usage is not None for call in calls) >= ENOUGH:
        return Plan(NOT_KEPT)
    under_way = None if job.keep is None else _under_way(session, job.id, time)
    if under_way is not None:
        return Plan(lasts) if under_way <= 0 else Plan(lasts, waits=under_way)
    ended = session.scalars(select(JobCounts.ended).where(JobCounts.job_id == job.id)).one()
    if len(calls) >= TRIED or job.total - ended < LEAST_RECORDS:
        return Plan()
    return Plan(lasts, alone=True)


def _lifetime_for(seconds_apart: float) -> str | None:
    """The shorter one that lasts from call to call, each of which renews it; None: neither does."""
    lasting = (lasts for lasts in (FIVE_MINUTES, HOUR) if seconds_apart < LIFETIMES[lasts] - 2 * SPARE)
    return next(lasting, None)


def _recent_calls(session: Session, job_id: int, since: dt.datetime) -> Sequence[Any]:
    """The calls that ended the newest records, if they were made since then."""
    newest = session.execute(
        select(RecordOutput.idx, RecordOutput.usage, RecordOutput.started_at, RecordOutput.latency_ms)
        .where(RecordOutput.job_id == job_id, RecordOutput.copy_of.is_(None))
        .order_by(RecordOutput.seq.desc())
        .limit(LOOKED_AT)
    ).all()
    called = (row for row in newest if row.latency_ms is not None and row.started_at is not None)
    return [row for row in called if row.started_at > since]


def _uses_cache(call: Any) -> bool:
    usage = call.usage or {}
    return bool(usage.get("cache_read_tokens") or usage.get("cache_write_tokens"))


def _any_as_told(session: Session, job_id: int, indices: Sequence[int]) -> bool:
    """Whether one of these records leaves it to its job what is kept; a row of a table always does."""
    bodies = session.scalars(
        select(RecordInput.body).where(
            RecordInput.job_id == job_id, RecordInput.idx.in_(indices[:LOOKED_INTO])
        )
    )
    return any(not layout.sets_its_own(body) for body in bodies)


def _under_way(session: Session, job_id: int, time: dt.datetime) -> float | None:
    """Seconds for which the record that is asked alone is waited for, 0 where others need not wait.

    None: none is being asked.
    """
    windows = session.execute(
        select(Window.primes, Window.slice_at).where(
            Window.job_id == job_id,
            Window.closed_at.is_(None),
            Window.offered_at.is_not(None),
            Window.isolated.is_(False),
        )
    ).all()
    if any(not window.primes for window in windows):
        return 0.0
    if not windows:
        return None
    claimed = [window.slice_at for window in windows if window.slice_at is not None]
    if not claimed:
        return PATIENCE
    if not _any_running(session, job_id):
        return None  # it was given back, or ended without an answer
    asked_for: float = (time - min(claimed)).total_seconds()
    return max(0.0, PATIENCE - asked_for)


def _any_running(session: Session, job_id: int) -> bool:
    running = (
        select(Record.idx).where(Record.job_id == job_id, Record.status == RecordStatus.RUNNING).limit(1)
    )
    return session.scalar(running) is not None
