"""Limit groups for people: what each may do, what it did in the last minute, and what it waits for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.core.json_text import timestamp
from app.core.limits import allowances, obstacle
from app.core.limits.allowances import Allowance
from app.core.limits.limiter import CallTerms, Hold, Standing, limiter
from app.errors import LimiterAway, NotFound
from app.providers import registry
from app.providers.client import RateLimits
from models.base import now
from models.job import IS_UNENDED, Job, JobStatus
from models.limit import LimitGroup

SHOWN = 100  # waiting jobs of the caller's tenant
NAMES = allowances.SET_IN  # a figure's name in `RateLimits`, and on the wire
HIGHEST = {  # figure that can be set
    "requests_per_minute": 10**9,
    "input_tokens_per_minute": 10**12,
    "output_tokens_per_minute": 10**12,
    "max_concurrent_calls": 1_000_000,
}


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads a report; `sees_all`: also what all tenants together use and wait for."""

    tenant_id: int
    sees_all: bool


def describe_all(session: Session, reader: Reader) -> list[dict[str, Any]]:
    """Every group in use, by anybody or by the reader's tenant."""
    own = Job.tenant_id == reader.tenant_id
    found = names(session) if reader.sees_all else sorted(_with_live_jobs(session, own))
    return [describe(session, reader, name) for name in found]


def names(session: Session) -> list[str]:
    """The groups that have a row or jobs that have not ended, sorted."""
    return sorted({*session.scalars(select(LimitGroup.name)), *_with_live_jobs(session)})


def _with_live_jobs(session: Session, *jobs: ColumnElement[bool]) -> set[str]:
    live = Job.status.in_((JobStatus.PENDING, JobStatus.RUNNING))
    named = Job.limit_group != registry.NOBODY
    return set(session.scalars(select(Job.limit_group).where(IS_UNENDED, live, named, *jobs).distinct()))


def describe(session: Session, reader: Reader, name: str) -> dict[str, Any]:
    """One group. Of the waiting jobs a reader sees those of its tenant; the number of others, and what is
    used, only who sees all.
    """
    allowance = allowances.read(session, name)
    try:
        standing: Standing | None = limiter().standing(CallTerms(name, 0, allowance.limits))
        held = limiter().held(name)
    except LimiterAway:
        standing = held = None
    return {
        "group": name,
        "allowed": _allowed(allowance),
        "used": _used(standing) if reader.sees_all else None,
        "ramp": None if standing is None else standing.ramp,
        "starts": "burst" if allowance.paced_until is None else "paced",
        "paced_until": None if allowance.paced_until is None else timestamp(allowance.paced_until),
        "held_until": _held_until(session, held),
        **_waiting(session, reader, standing, held),
    }


def unused(group: str, allowance: Allowance) -> RateLimits | None:
    """What the last minute has left of the group's limits; None where calls are paced, or nobody knows."""
    limits = allowance.limits
    if allowance.paced_until is not None:
        return None
    try:
        used = limiter().standing(CallTerms(group, 0, limits))
    except LimiterAway:
        return None
    return RateLimits(
        requests=_left(limits.requests, used.requests),
        input_tokens=_left(limits.input_tokens, used.input_tokens),
        output_tokens=_left(limits.output_tokens, used.output_tokens),
    )


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)


def change(session: Session, name: str, figures: Mapping[str, int | None]) -> dict[str, int | None]:
    """Set a group's figures, for every worker within a second; None leaves one to the configuration again.

    Returns what was set before. Raises `NotFound` as `check` does.
    """
    check(session, name)
    wire = {on_wire: inside for inside, on_wire in NAMES.items()}
    before = allowances.put(session, name, {wire[field]: figure for field, figure in figures.items()})
    return {NAMES[inside]: figure for inside, figure in before.items()}


def check(session: Session, name: str) -> None:
    """Raise `NotFound` for an unknown group: one without class, job or row."""
    if not _exists(session, name):
        raise NotFound(
            f"there is no limit group {name!r}: GET /api/v1/limits lists those in use; a group is named"
            " `simulated`, or by its provider and a class of config/limits.toml, such as `anthropic:sonnet-4`"
        )


def figures(session: Session, name: str) -> dict[str, int | None]:
    """What operators have set for a group; None: nothing."""
    row = session.get(LimitGroup, name)
    return {on_wire: None if row is None else getattr(row, on_wire) for on_wire in HIGHEST}


def _exists(session: Session, name: str) -> bool:
    if registry.is_group(name):
        return True
    used = select(Job.id).where(Job.limit_group == name).limit(1)
    return session.get(LimitGroup, name) is not None or session.scalar(used) is not None


def _allowed(allowance: Allowance) -> dict[str, Any]:
    return {
        on_wire: {"figure": getattr(allowance.limits, inside), "source": allowance.sources.get(inside)}
        for inside, on_wire in NAMES.items()
    }


def _used(standing: Standing | None) -> dict[str, Any] | None:
    if standing is None:
        return None
    return {
        "requests": standing.requests,
        "input_tokens": standing.input_tokens,
        "output_tokens": standing.output_tokens,
        "calls_in_flight": standing.in_flight,
    }


def _limited_by(held: Hold | None, asking: Sequence[int]) -> str | None:
    """What the group, or the first of the jobs that ask for its permits, waits for."""
    if held is not None:
        return held.reason
    try:
        return limiter().reasons.of(asking[0]) if asking else None
    except LimiterAway:
        return "redis"


def _held_until(session: Session, held: Hold | None) -> str | None:
    if held is None:
        return None
    return timestamp(session.scalar(select(now(max(0.0, held.seconds)))))


def _waiting(
    session: Session, reader: Reader, standing: Standing | None, held: Hold | None
) -> dict[str, Any]:
    asking = [] if standing is None else standing.asking
    own = session.execute(
        select(Job.id, Job.uid, Job.name, Job.priority)
        .where(Job.id.in_(asking), Job.tenant_id == reader.tenant_id)
        .order_by(Job.uid)
    ).all()
    ids = {row.id for row in own}
    seen = asking if reader.sees_all else [job_id for job_id in asking if job_id in ids]
    shown = [{"id": str(row.uid), "name": row.name, "priority": row.priority} for row in own[:SHOWN]]
    return {
        "limited_by": "redis" if standing is None else _limited_by(held, seen),
        "limited_by_detail": None if held is None else obstacle.out(held),
        "waiting": shown,
        "waiting_of_others": len(asking) - len(own) if reader.sees_all else None,
    }
