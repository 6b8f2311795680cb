"""The calls that were made for one record: each with its wait, its time and its cost."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.money import totals
from app.core.reading.jobs import JobView
from models.record import Attempt, Record, RecordStatus

MOST = 200  # that are shown, the newest


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt. `waited`: seconds since the end of the call before it, or since the job came."""

    number: int
    outcome: str  # `answered`, `unconfirmed` or `unsent`; `in flight`
    started_at: dt.datetime | None
    ended_at: dt.datetime | None = None
    waited: float | None = None
    error_type: str | None = None
    model: str | None = None
    request_id: str | None = None  # the provider's
    usage: Mapping[str, int] | None = None
    cost: int | None = None  # pico-dollars; of an unconfirmed one the most that it may have cost
    confirmed_at: dt.datetime | None = None  # when a late answer showed its cost

    @property
    def seconds(self) -> float | None:
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class History:
    """What was done for a record, and when it is asked again if that is known."""

    calls: Sequence[Call]
    next_at: dt.datetime | None


def of(session: Session, job: JobView, idx: int) -> History:
    """The calls of a record of the job, in their order."""
    row = session.get_one(Record, (job.id, idx))
    newest = (
        select(Attempt)
        .where(Attempt.job_id == job.id, Attempt.idx == idx)
        .order_by(Attempt.attempt.desc())
        .limit(MOST)
    )
    calls, before = [], job.created_at
    for attempt in reversed(session.scalars(newest).all()):
        calls.append(_call(attempt, before))
        before = attempt.ended_at
    if row.status == RecordStatus.RUNNING and row.claimed_at is not None:
        waited = max(0.0, (row.claimed_at - before).total_seconds())
        calls.append(Call(row.attempts, "in flight", row.claimed_at, waited=waited))
    return History(calls, row.not_before if row.status == RecordStatus.WAITING else None)


def _call(attempt: Attempt, before: dt.datetime) -> Call:
    started_at = attempt.started_at
    return Call(
        attempt.attempt,
        attempt.outcome,
        started_at,
        attempt.ended_at,
        None if started_at is None else max(0.0, (started_at - before).total_seconds()),
        attempt.error_type,
        attempt.model,
        attempt.request_id,
        {kind: getattr(attempt, kind) for kind in totals.TOKENS},
        attempt.cost,
        attempt.confirmed_at,
    )
