"""The allowance of each limit group: what was set or configured, never more than the provider allows.

Each figure is decided by itself: its maximum is the operator's (`PUT /limits/{group}`), else the configured
one; the headers of the provider's answers may lower it. Where neither is given, only the headers decide.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, fields

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.providers import registry
from app.providers.client import RateLimits
from config import settings
from models.base import now
from models.limit import LimitGroup
from models.upsert import insert_missing

SET, CONFIGURED, LEARNED, ASSUMED = "set", "configured", "learned", "assumed"

# Columns of a group's row for each figure.
SET_IN = {
    "requests": "requests_per_minute",
    "input_tokens": "input_tokens_per_minute",
    "output_tokens": "output_tokens_per_minute",
    "concurrent": "max_concurrent_calls",
}
LEARNED_IN = {
    "requests": "learned_requests",
    "input_tokens": "learned_input_tokens",
    "output_tokens": "learned_output_tokens",
}


PACED_FOR = 3_600.0  # seconds after a provider refused a call that left at once


@dataclass(frozen=True, slots=True)
class Allowance:
    """A group's figures in force, and the source of each."""

    limits: RateLimits
    sources: Mapping[str, str]
    paced_until: dt.datetime | None = None  # None: what fits leaves at once


@dataclass(frozen=True, slots=True)
class Held:
    """A hold as stored in its row: `seconds` until the next probe, 0 when that is due."""

    reason: str
    seconds: float
    probe_every: float
    detail: str = ""  # JSON of an `Obstacle`, or empty


def allowance(group: str, row: LimitGroup | None, time: dt.datetime | None = None) -> Allowance:
    """The allowance of `group`; `row` is its row, if it has one, as of `time` by the database's clock."""
    configured = registry.configured(group, settings.current())
    assumed = registry.assumed(group)
    figures: dict[str, int] = {}
    sources: dict[str, str] = {}
    for name in (field.name for field in fields(RateLimits)):
        candidates = {
            SET: None if row is None else getattr(row, SET_IN[name]),
            CONFIGURED: getattr(configured, name),
            LEARNED: getattr(row, LEARNED_IN[name]) if row is not None and name in LEARNED_IN else None,
            ASSUMED: getattr(assumed, name),
        }
        source = _source(candidates)
        if source is not None:
            figures[name], sources[name] = candidates[source], source
    return Allowance(RateLimits(**figures), sources, _paced_until(row, time))


def _paced_until(row: LimitGroup | None, time: dt.datetime | None) -> dt.datetime | None:
    if row is None or row.paced_until is None or time is None or row.paced_until <= time:
        return None
    return row.paced_until


def _source(candidates: Mapping[str, int | None]) -> str | None:
    """The source of the figure in force; `candidates` are figures by source."""
    maximum = next((name for name in (SET, CONFIGURED) if candidates[name] is not None), None)
    learned = candidates[LEARNED]
    if learned is not None and (maximum is None or learned < (candidates[maximum] or 0)):
        return LEARNED
    if maximum is not None:
        return maximum
    return ASSUMED if candidates[ASSUMED] is not None else None


def read(session: Session, group: str) -> Allowance:
    """The allowance of `group`, from its row as it is now."""
    row = session.get(LimitGroup, group)
    return allowance(group, row, None if row is None else _now(session))


def read_all(session: Session) -> dict[str, tuple[Allowance, Held | None]]:
    """Every group that has a row, with its hold if it is held."""
    time = _now(session)
    return {
        row.name: (allowance(row.name, row, time), _held(row, time))
        for row in session.scalars(select(LimitGroup))
    }


def _held(row: LimitGroup, time: dt.datetime) -> Held | None:
    if row.held_until is None:
        return None
    left = max(0.0, (row.held_until - time).total_seconds())
    return Held(row.held_reason or "", left, row.probe_every or 0.0, row.held_detail or "")


def put(session: Session, group: str, figures: Mapping[str, int | None]) -> dict[str, int | None]:
    """Set a group's figures by the names of `RateLimits`, and return what was set before.

    None leaves a figure to the configuration again.
    """
    row = _row(session, group)
    before = {name: getattr(row, SET_IN[name]) for name in figures}
    for name, figure in figures.items():
        setattr(row, SET_IN[name], figure)
    session.flush()
    return before


def learn(session: Session, group: str, limits: RateLimits) -> Allowance:
    """Store the limits from the provider's headers; others stay. Returns the allowance now in force."""
    row = _row(session, group)
    for name, column in LEARNED_IN.items():
        if (figure := getattr(limits, name)) is not None:
            setattr(row, column, figure)
    session.flush()
    return allowance(group, row, _now(session))


def hold(
    session: Session, group: str, reason: str, *, seconds: float, probe_every: float, detail: str = ""
) -> None:
    """Store a hold, so that a Redis that comes back empty does not end it."""
    row = _row(session, group)
    row.held_until = session.scalar(select(now(seconds)))
    row.held_reason, row.probe_every, row.held_detail = reason[:200], probe_every, detail
    session.flush()


def pace(session: Session, group: str) -> Allowance:
    """Have the group's calls paced for an hour: its provider refuses what leaves at once."""
    row = _row(session, group)
    row.paced_until = session.scalar(select(now(PACED_FOR)))
    session.flush()
    return allowance(group, row, _now(session))


def probe_soon(session: Session, provider: str) -> list[str]:
    """Let the groups of a refused account be probed now; returns their names."""
    rows = session.scalars(
        select(LimitGroup).where(
            or_(LimitGroup.name == provider, LimitGroup.name.startswith(f"{provider}:", autoescape=True)),
            LimitGroup.held_reason.startswith("account:", autoescape=True),
        )
    ).all()
    for row in rows:
        row.held_until, row.held_detail = session.scalar(select(now())), None
    session.flush()
    return [row.name for row in rows]


def clear(session: Session, group: str) -> None:
    """End a group's hold, after a successful probe."""
    row = session.get(LimitGroup, group)
    if row is not None:
        row.held_until = row.held_reason = row.probe_every = row.held_detail = None
        session.flush()


def _now(session: Session) -> dt.datetime:
    return session.scalars(select(now())).one()


def _row(session: Session, group: str) -> LimitGroup:
    """The group's locked row, created if missing, even by two at once."""
    insert_missing(session, LimitGroup, {"name": group})
    return session.get_one(LimitGroup, group, with_for_update=True)
