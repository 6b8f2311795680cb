"""Time series of one tenant or of the whole system, read from rows."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, func, literal, select
from sqlalchemy.orm import Session

from app.core.money import pricing
from app.core.money.ledger import ANSWERED
from app.core.monitoring import performance
from models.base import epoch, now, whole
from models.job import Job, JobCounts, JobStatus
from models.record import Attempt, Record, RecordStatus

# Seconds of a period, and of one of its steps.
PERIODS = {"5m": (300, 10), "1h": (3_600, 60), "24h": (86_400, 1_800), "7d": (604_800, 21_600)}
METRICS = ("throughput", "latency", "errors", "queue", "tokens", "cost")

Point = tuple[dt.datetime, float | None]  # the end of a step, and the value in it


@dataclass(frozen=True, slots=True)
class _Span:
    """Steps of `length` seconds, the last of which ends at `until`."""

    until: dt.datetime
    length: int
    count: int
    tenants: list[int]

    @property
    def since(self) -> dt.datetime:
        return self.until - dt.timedelta(seconds=self.length * self.count)

    def step(self, time: SQLColumnExpression[Any]) -> ColumnElement[int]:
        """The number of the step in which a row's time lies; what ends now lies in the last one."""
        return whole((epoch(time) - literal(self.since.timestamp())) / literal(float(self.length)))

    def end(self, step: int) -> dt.datetime:
        return self.since + dt.timedelta(seconds=self.length * (step + 1))


def read(
    session: Session, tenant_id: int | None, period: str, metrics: Iterable[str]
) -> dict[str, list[Point]]:
    """The series of each of `metrics` over the period, for one tenant's jobs or for all (None).

    Throughput is in records answered per second, latency in milliseconds per call, errors in failed calls,
    queue in records that waited at the step's end, tokens in input and output tokens, cost in USD.
    """
    seconds, length = PERIODS[period]
    span = _Span(
        until=session.scalars(select(now())).one(),
        length=length,
        count=seconds // length,
        tenants=performance.tenants(session, tenant_id),
    )
    values = _of_calls(session, span)
    if "queue" in metrics:
        values["queue"] = _queue(session, span, performance.standing(session, tenant_id)[1])
    return {name: [(span.end(step), value) for step, value in enumerate(values[name])] for name in metrics}


def _of_calls(session: Session, span: _Span) -> dict[str, Sequence[float | None]]:
    answered = (Attempt.outcome == ANSWERED) & Attempt.error_type.is_(None)
    rows = session.execute(
        select(
            span.step(Attempt.ended_at).label("step"),
            func.count().filter(answered).label("answered"),
            func.avg(epoch(Attempt.ended_at) - epoch(Attempt.started_at)).filter(answered).label("seconds"),
            func.count().filter(Attempt.error_type.is_not(None)).label("errors"),
            func.sum(Attempt.input_tokens + Attempt.output_tokens).label("tokens"),
            func.sum(Attempt.cost).filter(Attempt.outcome == ANSWERED).label("cost"),
        )
        .where(Attempt.tenant_id.in_(span.tenants), Attempt.ended_at >= span.since)
        .group_by("step")
    )
    found = {min(row.step, span.count - 1): row for row in rows}
    steps = [found.get(step) for step in range(span.count)]
    return {
        "throughput": [row.answered / span.length if row else 0.0 for row in steps],
        "latency": [row.seconds * 1_000 if row and row.seconds is not None else None for row in steps],
        "errors": [row.errors if row else 0 for row in steps],
        "tokens": [int(row.tokens or 0) if row else 0 for row in steps],
        "cost": [int(row.cost or 0) / pricing.PICO if row else 0.0 for row in steps],
    }


def _queue(session: Session, span: _Span, waiting: int) -> Sequence[float | None]:
    """Records that waited at each step's end, counted back from those that wait now."""
    change = Counter[int]()
    for step, count in _submitted(session, span).items():
        change[step] += count
    for removed in (_started(session, span), _in_first_call(session, span), _closed(session, span)):
        change.subtract(removed)
    later = accumulate((change[step] for step in range(span.count - 1, 0, -1)), initial=0)
    return [max(0, waiting - changed) for changed in later][::-1]


def _submitted(session: Session, span: _Span) -> dict[int, int]:
    return _steps(
        session,
        span,
        select(span.step(Job.created_at).label("step"), func.sum(Job.total)).where(
            Job.tenant_id.in_(span.tenants),
            Job.created_at >= span.since,
            Job.status != JobStatus.STAGING,
        ),
    )


def _started(session: Session, span: _Span) -> dict[int, int]:
    """Records whose first call left and has ended."""
    return _steps(
        session,
        span,
        select(span.step(Attempt.started_at).label("step"), func.count()).where(
            Attempt.tenant_id.in_(span.tenants),
            Attempt.ended_at >= span.since,
            Attempt.started_at >= span.since,
            Attempt.attempt == 1,
        ),
    )


def _in_first_call(session: Session, span: _Span) -> dict[int, int]:
    """Records whose first call is in flight."""
    return _steps(
        session,
        span,
        select(span.step(Record.claimed_at).label("step"), func.count())
        .join(Job, Job.id == Record.job_id)
        .where(
            Record.status == RecordStatus.RUNNING,
            Record.attempts == 1,
            Record.claimed_at >= span.since,
            Job.tenant_id.in_(span.tenants),
        ),
    )


def _closed(session: Session, span: _Span) -> dict[int, int]:
    """Records that ended with their job: one that was in flight then counts as started too, which is rare."""
    return _steps(
        session,
        span,
        select(span.step(Job.ended_at).label("step"), func.sum(JobCounts.cancelled + JobCounts.expired))
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(Job.tenant_id.in_(span.tenants), Job.ended_at >= span.since, Job.closed_as.is_not(None)),
    )


def _steps(session: Session, span: _Span, statement: Select[*tuple[Any, ...]]) -> dict[int, int]:
    rows = session.execute(statement.group_by("step"))
    return {min(step, span.count - 1): int(count or 0) for step, count in rows}
