"""The points of a job's course: closer together at its beginning, so that there are few of a long one.

A point is written when the sums have moved and the last one is old enough: a second for the first 120 points,
then two, then four … A job that moves for a day has about 1,100 of them, one that moves for a week 1,500, and
one that stands still writes none.
"""

import datetime as dt
from dataclasses import dataclass

from sqlalchemy.orm import Session

from models.timeline import JobPoint, JobTime
from models.upsert import insert_missing

SAME_STEP = 120  # points after which the step is twice as long
TICK = dt.timedelta(seconds=1)  # between two looks at a job


@dataclass(frozen=True, slots=True)
class Sums:
    seq: int
    failed: int
    cost: int


def is_due(row: JobTime, sums: Sums, at: dt.datetime) -> bool:
    return sums != _last(row) and at - row.point_at >= _step(row)


def add(session: Session, row: JobTime, sums: Sums, at: dt.datetime) -> None:
    """Write a point, if anything has moved; where it had stood still before that, one of then, too."""
    before, gap = _last(row), at - row.point_at
    if sums == before or at <= row.point_at:
        return
    moments = [(at, sums)]
    if gap >= 2 * _step(row):
        moments.insert(0, (at - TICK, before))
    insert_missing(session, JobPoint, *(_point(row.job_id, when, what) for when, what in moments))
    row.points += len(moments)
    row.point_at, row.seq, row.failed, row.cost = at, sums.seq, sums.failed, sums.cost


def _step(row: JobTime) -> dt.timedelta:
    """How old the last point must be before there is another."""
    return TICK * (1 << row.points // SAME_STEP)


def _last(row: JobTime) -> Sums:
    return Sums(row.seq, row.failed, row.cost)


def _point(job_id: int, at: dt.datetime, sums: Sums) -> dict[str, object]:
    return {"job_id": job_id, "at": at, "seq": sums.seq, "failed": sums.failed, "cost": sums.cost}
