"""Where a job's time went: its wall clock, by state."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.reading.jobs import JobView
from app.core.timeline import states
from app.core.timeline.clock import UNSEEN
from models.base import now
from models.timeline import JobTime

UNMEASURED = "unmeasured"  # by an earlier release, or of a call that its caller waited for
LEAST = 1.0  # seconds; less than this is the difference of two clocks


@dataclass(frozen=True, slots=True)
class Spent:
    state: str  # of `app.core.timeline.states`, or UNMEASURED
    seconds: float


@dataclass(frozen=True, slots=True)
class TimeSpent:
    """`parts`, the largest first, sum to `seconds`: from the job's submission to its end, or until now."""

    seconds: float
    parts: Sequence[Spent]
    state: str | None  # in which it is now; None: it has ended, or nobody knows


def time_spent(session: Session, view: JobView) -> TimeSpent:
    row = session.get(JobTime, view.id)
    at = session.scalars(select(now())).one()
    wall = ((view.ended_at or at) - view.created_at).total_seconds()
    found = {} if row is None else _until(row, row.since if view.ended_at else at)
    rest = wall - sum(found.values())
    if rest > LEAST:
        found[UNMEASURED] = rest
    parts = sorted((Spent(state, seconds) for state, seconds in found.items()), key=lambda one: -one.seconds)
    return TimeSpent(wall, parts, None if row is None or view.ended_at is not None else row.state)


def _until(row: JobTime, at: dt.datetime) -> dict[str, float]:
    """Seconds by state, with what has passed since the row was written."""
    found = {state: spent / 1000 for state, spent in row.milliseconds.items()}
    if row.watched and at - row.seen_at > UNSEEN:
        _add(found, states.STOPPED, (at - row.seen_at).total_seconds())
        at = row.seen_at
    _add(found, row.state, (at - row.since).total_seconds())
    return found


def _add(found: dict[str, float], state: str, seconds: float) -> None:
    if seconds > 0:
        found[state] = found.get(state, 0.0) + seconds
