"""A job's course: how its records and its cost came in."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.reading.jobs import JobView
from models.base import now
from models.timeline import JobPoint

MOST = 240  # points
LEAST = dt.timedelta(seconds=1)  # between the last two: a rate of less is none


@dataclass(frozen=True, slots=True)
class Point:
    """A job's sums at one moment."""

    at: dt.datetime
    ended: int  # records, each time that they did: of a retried one again
    failed: int
    cost: int  # pico-dollars
    per_minute: float  # records that ended since the point before


def course(session: Session, view: JobView) -> list[Point]:
    """Up to `MOST` points, from the job's start to its end or until now.

    None of a job that has not begun, or whose points were removed with its content.
    """
    at = view.ended_at or session.scalars(select(now())).one()
    start = view.started_at or view.created_at
    rows = session.execute(
        select(JobPoint.at, JobPoint.seq, JobPoint.failed, JobPoint.cost)
        .where(JobPoint.job_id == view.id, JobPoint.at >= start)
        .order_by(JobPoint.at)
    )
    sums = [_Sums(*row) for row in rows]
    if view.started_at is None or (view.ended_at is not None and not sums):
        return []
    last = _Sums(at, view.seq, view.counts.failed, view.cost)
    whole = [_Sums(start, view.reused, 0, 0), *(one for one in sums if at - one.at >= LEAST), last]
    return _points(_thinned(whole))


@dataclass(frozen=True, slots=True)
class _Sums:
    at: dt.datetime
    ended: int
    failed: int
    cost: int


def _thinned(sums: Sequence[_Sums]) -> list[_Sums]:
    """The first of all, and the last within each of equal steps."""
    first, span = sums[0], (sums[-1].at - sums[0].at).total_seconds()
    kept: dict[int, _Sums] = {}
    for one in sums[1:]:
        share = (one.at - first.at).total_seconds() / span if span else 1.0
        kept[min(int(share * (MOST - 1)), MOST - 2)] = one
    return [first, *kept.values()]


def _points(sums: Iterable[_Sums]) -> list[Point]:
    before: _Sums | None = None
    points = []
    for one in sums:
        points.append(Point(one.at, one.ended, one.failed, one.cost, _rate(before, one)))
        before = one
    return points


def _rate(before: _Sums | None, one: _Sums) -> float:
    seconds = 0.0 if before is None else (one.at - before.at).total_seconds()
    return 0.0 if before is None or not seconds else max(0, one.ended - before.ended) * 60 / seconds
