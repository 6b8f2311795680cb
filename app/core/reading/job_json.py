"""A job as JSON, as every reader of the native contract gets it: calls, lists and streams alike."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.core.breaker import Breaker
from app.core.json_text import timestamp
from app.core.limits import obstacle
from app.core.limits.limiter import is_hold, limiter
from app.core.money import pricing
from app.core.reading.jobs import JobView
from app.errors import LimiterAway
from app.providers import registry
from models.job import JobStatus

PREFIX = "/api/v1"
REDIS_AWAY, WORKERS = "redis", "workers"
REPAIRS = ("mended", "asked_again", "escalated")  # what makes an answer fit its schema

_breaker = Breaker()


@dataclass(frozen=True, slots=True)
class Limited:
    """What limits a job's speed: a word, and a sentence with its facts where the provider serves no calls."""

    word: str | None = None
    detail: Mapping[str, Any] | None = None


class Limitable(Protocol):
    """What must be known of a job to say what limits it."""

    @property
    def id(self) -> int: ...
    @property
    def status(self) -> JobStatus: ...
    @property
    def model(self) -> str: ...
    @property
    def queued(self) -> bool: ...


def jobs_out(views: Sequence[JobView]) -> list[dict[str, Any]]:
    found = limits_of(views)
    return [write(view, found[view.id]) for view in views]


def write(view: JobView, limited: Limited) -> dict[str, Any]:
    """The whole job."""
    return {
        "id": str(view.uid),
        "name": view.name,
        "status": view.status.value,
        "status_reason": view.status_reason,
        "created_by": view.created_by,
        "model": None if view.model == registry.NOBODY else view.model,
        "max_tokens": view.max_tokens,
        "priority": view.priority,
        "total": view.total,
        **progress_out(view, limited),
        "stop_reasons": dict(sorted(view.stop_reasons.items())),
        "max_cost": None if view.max_cost is None else pricing.dollars(view.max_cost),
        "cost_remaining": None if view.still_costs is None else pricing.dollars(view.still_costs),
        "reused": view.reused,
        "repairs": {word: view.repairs.get(word, 0) for word in REPAIRS},
        "saved": {
            "dedupe": {"records": view.copies, "cost": pricing.dollars(view.copied_cost)},
            "reuse": {"records": view.reused, "cost": pricing.dollars(view.reused_cost)},
            "prompt_cache": {
                "tokens": view.usage["cache_read_tokens"],
                "cost": pricing.dollars(view.cache_saved),
            },
        },
        "try_first": view.try_first,
        "tried_at": timestamp(view.tried_at),
        "forecast": view.forecast and {case: pricing.dollars(cost) for case, cost in view.forecast.items()},
        "warnings": [*view.notes, *_warnings(view)],
        "created_at": timestamp(view.created_at),
        "updated_at": timestamp(view.updated_at),
        "started_at": timestamp(view.started_at),
        "ended_at": timestamp(view.ended_at),
        "expires_at": timestamp(view.expires_at),
        "skipped_rows": view.skipped_rows,
        "metadata": view.metadata,
        "links": _links(f"{PREFIX}/jobs/{view.uid}"),
    }


def progress_out(view: JobView, limited: Limited) -> dict[str, Any]:
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
        "limited_by": limited.word,
        "limited_by_detail": limited.detail,
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
    return [*_of_forecast(view), *_of_prices(view), *_of_usage(view), *([told] if told else ())]


def _of_forecast(view: JobView) -> list[str]:
    """Once it leaves the band that its first records had promised."""
    if view.dearer_at is None or view.forecast is None:
        return []
    high = pricing.dollars(view.forecast["high"])
    return [f"it has cost more than the ${high} that its first {view.try_first or 0:,} records let expect"]


def _of_usage(view: JobView) -> list[str]:
    if not view.usage_unknown:
        return []
    count = view.usage_unknown
    answers = (
        "1 answer came without usage: its" if count == 1 else f"{count:,} answers came without usage: their"
    )
    warning = f"{answers} tokens and cost are not known"
    if not _has_price(view):
        return [warning]
    most = pricing.dollars(view.cost_unconfirmed)
    return [f"{warning}; at most ${most}, which is in cost_unconfirmed"]


def _of_prices(view: JobView) -> list[str]:
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


def limits_of(views: Iterable[Limitable]) -> dict[int, Limited]:
    """What limits each job's speed, other than its provider's own latency."""
    seen = list(views)
    found = {view.id: Limited("paused" if view.status == JobStatus.PAUSED else None) for view in seen}
    live = (JobStatus.PENDING, JobStatus.RUNNING)
    found |= _ask_limiter({view.id: view.model for view in seen if view.status in live})
    # Nobody asks the limiter for a job that waits for threads.
    return found | {view.id: Limited(WORKERS) for view in seen if view.queued and found[view.id].word is None}


def _ask_limiter(models: Mapping[int, str]) -> dict[int, Limited]:
    """What each job waits for; `models` are those of the jobs."""
    if not _breaker.is_open:
        try:
            reasons = limiter().reasons.of_all(list(models))
            held = _holds({id: models[id] for id, word in reasons.items() if word is None or is_hold(word)})
            return {id: Limited(word) for id, word in reasons.items()} | held
        except LimiterAway:
            _breaker.trip()
    return dict.fromkeys(models, Limited(REDIS_AWAY))


def _holds(models: Mapping[int, str]) -> dict[int, Limited]:
    """Why the groups of jobs are held: none of a job's records asks while all of them wait."""
    groups = {id: registry.limit_group(model) for id, model in models.items() if registry.find(model)}
    held = {group: hold for group in set(groups.values()) if (hold := limiter().held(group)) is not None}
    return {
        id: Limited(held[group].reason, obstacle.out(held[group]))
        for id, group in groups.items()
        if group in held
    }


def _links(job: str) -> dict[str, str]:
    return {
        "self": job,
        "records": f"{job}/records",
        "results": f"{job}/results",
        "events": f"{job}/events",
    }
