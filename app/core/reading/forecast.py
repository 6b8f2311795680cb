"""When a job that is running or waiting is likely to end."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from app.core.limits import allowances
from app.core.limits.duration import Work, bound, waits
from app.core.limits.limiter import limiter
from app.core.limits.report import unused
from app.core.money.calibration import BYTES_PER_TOKEN, LIKELY_SHARE
from app.core.money.ledger import ANSWERED
from app.core.money.quote import records_before
from app.core.pipeline import priority_queue
from app.core.reading.jobs import JobView
from app.errors import LimiterAway
from app.providers import registry
from config import settings
from models.base import epoch, now
from models.job import Job, JobCounts, JobSpec
from models.record import Attempt

RECENT = 3_600.0  # seconds, over which the tenant's own calls show how long one takes
UNKNOWN = 1.0  # seconds that a call is taken to last where there was none
MS = dt.timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a job has ended, or is likely to: no later than its time limit lets it run."""

    end: dt.datetime
    takes_ms: int | None = None  # from the job's first call to its last answer, had it no time limit
    limit_ms: int | None = None  # its time limit, from its first call


@dataclass(frozen=True, slots=True)
class Outlook:
    """How long it takes until the last call of a job leaves: by each limit, as if there were no other."""

    now: dt.datetime
    waits: Mapping[str, float]
    call_seconds: float


def read(session: Session, view: JobView) -> Forecast:
    """By the job's rate so far, or by what bounds it."""
    if view.ended_at is not None:
        return Forecast(view.ended_at)
    row = _row(session, view)
    if not view.counts.unended:
        return Forecast(row.now)
    likely = view.eta or row.now + dt.timedelta(seconds=_seconds(session, view, row))
    return Forecast(likely) if row.time_limit_ms is None else _limited(session, view, row, likely)


def outlook(session: Session, view: JobView) -> Outlook:
    """What bounds a job that has records left to ask, and by how much."""
    row = _row(session, view)
    try:
        call_seconds = limiter().call_seconds(row.limit_group)
    except LimiterAway:
        call_seconds = 0.0
    work, before, seats = _work(view, row, call_seconds), _before(session, view, row), _seats(row)
    allowance = allowances.read(session, row.limit_group)
    found = waits(work, before, allowance.limits, seats, unused(row.limit_group, allowance))
    return Outlook(row.now, found, work.seconds)


def _row(session: Session, view: JobView) -> Row[*tuple[Any, ...]]:
    return session.execute(
        select(
            Job.tenant_id,
            Job.limit_group,
            Job.request_bytes,
            Job.time_limit_ms,
            Job.max_concurrent,
            JobSpec.max_tokens,
            JobCounts.due_by,
            now().label("now"),
        )
        .join(JobSpec, JobSpec.job_id == Job.id)
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(Job.id == view.id)
    ).one()


def _limited(session: Session, view: JobView, row: Row[*tuple[Any, ...]], likely: dt.datetime) -> Forecast:
    """A time limit counts from the first call, so one that has not left yet is estimated as well."""
    limit = row.time_limit_ms * MS
    if row.due_by is not None:
        first_call = row.due_by - limit
    elif priority_queue.has_place(session, view.id):
        first_call = row.now + dt.timedelta(seconds=_until_first_call(session, row.limit_group))
    else:  # the jobs that it waits for take theirs
        first_call = max(row.now, likely - dt.timedelta(seconds=_seconds(session, view, row, alone=True)))
    end = max(row.now, min(likely, first_call + limit))
    return Forecast(end, round((likely - first_call) / MS), row.time_limit_ms)


def _seconds(session: Session, view: JobView, row: Row[*tuple[Any, ...]], *, alone: bool = False) -> float:
    """Seconds until the last answer, if no other job comes in between, nor is there any if it is `alone`."""
    if row.limit_group == registry.NOBODY:
        return 0.0  # its records are not asked
    work = _work(view, row, _seconds_of_a_call(session, row.tenant_id, view.model))
    before = 0 if alone else _before(session, view, row)
    allowance = allowances.read(session, row.limit_group)
    return bound(work, before, allowance.limits, _seats(row), unused(row.limit_group, allowance))[0]


def _work(view: JobView, row: Row[*tuple[Any, ...]], call_seconds: float) -> Work:
    remaining = view.counts.unended
    share = remaining / view.total
    return Work(
        calls=remaining,
        input_tokens=row.request_bytes * share / BYTES_PER_TOKEN,
        output_tokens=row.max_tokens * LIKELY_SHARE * remaining,
        seconds=call_seconds,
    )


def _before(session: Session, view: JobView, row: Row[*tuple[Any, ...]]) -> int:
    """Calls of other jobs that are made before the last one of this."""
    remaining = view.counts.unended
    return max(0, records_before(session, row.limit_group, remaining) - remaining)


def _seats(row: Row[*tuple[Any, ...]]) -> int | None:
    bounds = (registry.max_concurrent_calls(row.limit_group, settings.current()), row.max_concurrent)
    return min((bound for bound in bounds if bound is not None), default=None)


def _until_first_call(session: Session, group: str) -> float:
    """Seconds, at most, until the group's limit lets another call leave."""
    allowance = allowances.read(session, group)
    one = Work(calls=1, input_tokens=1, output_tokens=1, seconds=0)
    return bound(one, 0, allowance.limits, None, unused(group, allowance))[0]


def _seconds_of_a_call(session: Session, tenant_id: int, model: str) -> float:
    mean = session.scalar(
        select(func.avg(epoch(Attempt.ended_at) - epoch(Attempt.started_at))).where(
            Attempt.tenant_id == tenant_id,
            Attempt.ended_at > now(-RECENT),
            Attempt.outcome == ANSWERED,
            Attempt.model == model,
        )
    )
    return UNKNOWN if mean is None else float(mean)
