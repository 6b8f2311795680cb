"""Limit groups for people: what each may do, what it did in the last minute, and what it waits for."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.json_text import timestamp
from app.core.limits import allowances
from app.core.limits.allowances import Allowance
from app.core.limits.limiter import CallTerms, Standing, limiter
from app.errors import LimiterAway, NotFound
from app.providers import registry
from models.base import now
from models.job import Job, JobStatus
from models.limit import LimitGroup

SHOWN = 100  # waiting jobs of the caller's tenant
NAMES = allowances.SET_IN  # a figure's name in `RateLimits`, and on the wire


def describe_all(session: Session, tenant_id: int) -> list[dict[str, Any]]:
    """Every group in use."""
    return [describe(session, tenant_id, name) for name in names(session)]


def names(session: Session) -> list[str]:
    """The groups that have a row or jobs that have not ended, sorted."""
    live = (
        select(Job.limit_group)
        .where(Job.status.in_((JobStatus.PENDING, JobStatus.RUNNING)), Job.limit_group != registry.NOBODY)
        .distinct()
    )
    return sorted({*session.scalars(select(LimitGroup.name)), *session.scalars(live)})


def describe(session: Session, tenant_id: int, name: str) -> dict[str, Any]:
    """One group. Of the waiting jobs a caller sees those of its tenant, and the number of others."""
    allowance = allowances.read(session, name)
    try:
        standing: Standing | None = limiter().standing(CallTerms(name, 0, allowance.limits))
        held = limiter().held(name)
    except LimiterAway:
        standing = held = None
    return {
        "group": name,
        "allowed": _allowed(allowance),
        "used": None
        if standing is None
        else {
            "requests": standing.requests,
            "input_tokens": standing.input_tokens,
            "output_tokens": standing.output_tokens,
            "calls_in_flight": standing.in_flight,
        },
        "ramp": None if standing is None else standing.ramp,
        "limited_by": _limited_by(standing, held),
        "held_until": _held_until(session, held),
        **_waiting(session, tenant_id, [] if standing is None else standing.asking),
    }


def change(session: Session, name: str, figures: dict[str, int | None]) -> None:
    """Set a group's figures, for every worker within a second; None leaves one to the configuration again.

    Raises `NotFound` for an unknown group: one without class, job or row.
    """
    if not _exists(session, name):
        raise NotFound(
            f"there is no limit group {name!r}: GET /api/v1/limits lists those in use; a group is named"
            " `simulated`, or by its provider and a class of config/limits.toml, such as `anthropic:sonnet-4`"
        )
    wire = {on_wire: inside for inside, on_wire in NAMES.items()}
    allowances.put(session, name, {wire[field]: figure for field, figure in figures.items()})


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


def _limited_by(standing: Standing | None, held: tuple[float, str] | None) -> str | None:
    if standing is None:
        return "redis"
    if held is not None:
        return held[1]
    try:
        return limiter().reason(standing.asking[0]) if standing.asking else None
    except LimiterAway:
        return "redis"


def _held_until(session: Session, held: tuple[float, str] | None) -> str | None:
    if held is None:
        return None
    return timestamp(session.scalar(select(now(max(0.0, held[0])))))


def _waiting(session: Session, tenant_id: int, asking: Sequence[int]) -> dict[str, Any]:
    own = session.execute(
        select(Job.uid, Job.name, Job.priority)
        .where(Job.id.in_(asking), Job.tenant_id == tenant_id)
        .order_by(Job.uid)
        .limit(SHOWN)
    ).all()
    count = session.scalar(
        select(func.count()).select_from(Job).where(Job.id.in_(asking), Job.tenant_id == tenant_id)
    )
    return {
        "waiting": [{"id": str(row.uid), "name": row.name, "priority": row.priority} for row in own],
        "waiting_of_others": len(asking) - (count or 0),
    }
