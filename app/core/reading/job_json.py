"""A job as JSON, as every reader of the native contract gets it: calls, lists and streams alike."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.core.breaker import Breaker
from app.core.json_text import timestamp
from app.core.limits.limiter import limiter
from app.core.money import pricing
from app.core.reading.jobs import JobView
from app.errors import LimiterAway
from app.providers import registry
from models.job import JobStatus

PREFIX = "/api/v1"
REDIS_AWAY, WORKERS = "redis", "workers"

_breaker = Breaker()


def jobs_out(views: Sequence[JobView]) -> list[dict[str, Any]]:
    reasons = limited_by(views)
    return [write(view, reasons[view.id]) for view in views]


def write(view: JobView, limited_by: str | None) -> dict[str, Any]:
    """The whole job."""
    return {
        "id": str(view.uid),
        "name": view.name,
        "status": view.status.value,
        "status_reason": view.status_reason,
        "created_by": view.created_by,
        "model": None if view.model == registry.NOBODY else view.model,
        "priority": view.priority,
        "total": view.total,
        **progress_out(view, limited_by),
        "max_cost": None if view.max_cost is None else pricing.dollars(view.max_cost),
        "warnings": _warnings(view),
        "created_at": timestamp(view.created_at),
        "updated_at": timestamp(view.updated_at),
        "started_at": timestamp(view.started_at),
        "ended_at": timestamp(view.ended_at),
        "expires_at": timestamp(view.expires_at),
        "skipped_rows": view.skipped_rows,
        "metadata": view.metadata,
        "links": _links(f"{PREFIX}/jobs/{view.uid}"),
    }


def progress_out(view: JobView, limited_by: str | None) -> dict[str, Any]:
    """What moves with every answer."""
    counts = view.counts
    return {
        "counts": {
            "pending": counts.pending,
            "running": counts.running,
            "succeeded": counts.succeeded,
            "failed": counts.failed,
            "cancelled": counts.cancelled,
            "expired": counts.expired,
        },
        # Cut, not rounded: 1 says that every record has ended.
        "progress": (view.total - counts.unended) * 10_000 // view.total / 10_000 if view.total else 1.0,
        "eta": timestamp(view.eta),
        "limited_by": limited_by,
        "usage": dict(view.usage),
        "cost": cost(view),
        "cost_unconfirmed": pricing.dollars(view.cost_unconfirmed),
    }


def cost(view: JobView) -> str | None:
    """Dollars, known so far; None, and never 0, of a model that nobody can price."""
    if view.unpriced or (view.cost == 0 and not view.status.final and not _has_price(view)):
        return None
    return pricing.dollars(view.cost)


def _warnings(view: JobView) -> list[str]:
    told = view.form and view.form.warning
    return [*_of_cost(view), *([told] if told else ())]


def _of_cost(view: JobView) -> list[str]:
    if not _has_price(view) and (view.unpriced or not view.status.final):
        return [f"{pricing.how_to_price(view.model)}; answers before that stay without a cost"]
    if view.unpriced:
        return [
            f"the cost is unknown: {view.unpriced:,} of the job's answers had no price when they were sent;"
            " GET /api/v1/usage?group_by=model shows for which model"
        ]
    return []


def _has_price(view: JobView) -> bool:
    if view.model == registry.NOBODY:
        return True  # there is nothing to pay
    return pricing.price_at(view.model, dt.datetime.now(dt.UTC)) is not None


def limited_by(views: Iterable[JobView]) -> dict[int, str | None]:
    """What limits each job's speed, other than its provider's own latency."""
    seen = list(views)
    reasons = {view.id: "paused" if view.status == JobStatus.PAUSED else None for view in seen}
    live = (JobStatus.PENDING, JobStatus.RUNNING)
    reasons |= _ask_limiter({view.id: view.model for view in seen if view.status in live})
    # Nobody asks the limiter for a job that waits for threads.
    return reasons | {view.id: WORKERS for view in seen if view.queued and reasons[view.id] is None}


def _ask_limiter(models: Mapping[int, str]) -> dict[int, str | None]:
    """What each job waits for; `models` are those of the jobs."""
    if not _breaker.is_open:
        try:
            reasons = limiter().reasons.of_all(list(models))
            return reasons | _holds({id: models[id] for id, reason in reasons.items() if reason is None})
        except LimiterAway:
            _breaker.trip()
    return dict.fromkeys(models, REDIS_AWAY)


def _holds(models: Mapping[int, str]) -> dict[int, str | None]:
    """The reasons why the groups of jobs are held: none of a job's records asks while all of them wait."""
    groups = {id: registry.limit_group(model) for id, model in models.items() if registry.find(model)}
    held = {group: limiter().held(group) for group in set(groups.values())}
    return {id: None if (hold := held[group]) is None else hold[1] for id, group in groups.items()}


def _links(job: str) -> dict[str, str]:
    return {
        "self": job,
        "records": f"{job}/records",
        "results": f"{job}/results",
        "events": f"{job}/events",
    }
