"""When a job that is running or waiting is likely to end."""

import datetime as dt
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from app.core.limits import allowances
from app.core.limits.duration import Work, bound
from app.core.limits.report import unused
from app.core.money.calibration import BYTES_PER_TOKEN, LIKELY_SHARE
from app.core.money.ledger import ANSWERED
from app.core.money.quote import records_before
from app.core.reading.jobs import JobView
from app.providers import registry
from config import settings
from models.base import epoch, now
from models.job import Job, JobCounts, JobSpec
from models.record import Attempt

RECENT = 3_600.0  # seconds, over which the tenant's own calls show how long one takes
UNKNOWN = 1.0  # seconds that a call is taken to last where there was none


def end(session: Session, view: JobView) -> dt.datetime:
    """When the job has ended or is likely to: by its rate so far, or by what bounds it."""
    if view.ended_at is not None:
        return view.ended_at
    row = session.execute(
        select(Job.tenant_id, Job.limit_group, Job.request_bytes, JobSpec.max_tokens, JobCounts.due_by)
        .join(JobSpec, JobSpec.job_id == Job.id)
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(Job.id == view.id)
    ).one()
    time = session.scalars(select(now())).one()
    if not view.counts.unended:
        return time
    likely = view.eta or time + dt.timedelta(seconds=_seconds(session, view, row))
    return max(time, likely if row.due_by is None else min(likely, row.due_by))


def _seconds(session: Session, view: JobView, row: Row[*tuple[Any, ...]]) -> float:
    """Seconds until the last answer, if no other job comes in between."""
    if row.limit_group == registry.NOBODY:
        return 0.0  # its records are not asked
    remaining = view.counts.unended
    share = remaining / view.total
    work = Work(
        calls=remaining,
        input_tokens=row.request_bytes * share / BYTES_PER_TOKEN,
        output_tokens=row.max_tokens * LIKELY_SHARE * remaining,
        seconds=_seconds_of_a_call(session, row.tenant_id, view.model),
    )
    before = max(0, records_before(session, row.limit_group, remaining) - remaining)
    seats = registry.max_concurrent_calls(row.limit_group, settings.current())
    allowance = allowances.read(session, row.limit_group)
    return bound(work, before, allowance.limits, seats, unused(row.limit_group, allowance))[0]


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
