"""A job in figures, as its page shows them."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.core.money import pricing
from app.core.reading import job_json
from app.core.reading.course import lift
from app.core.reading.course.lift import Lift
from app.core.reading.job_json import Limited
from app.core.reading.jobs import JobView
from models.session import reading


@dataclass(frozen=True, slots=True)
class Figures:
    """Money is in dollars, None where nobody knows it."""

    ended: int
    rate: float | None  # records a minute
    seconds_left: float | None
    seconds_taken: float | None  # from its first call to its end
    cost: str | None
    unconfirmed: str | None  # of calls whose answers never came
    whole: str | None  # of the whole job, if the rest costs what the others did
    is_capped: bool  # the rest would cost more than the cap has left
    cap: str | None
    limit: Lift | None  # what holds it back, if anything but the provider's own time does
    held: Mapping[str, Any] | None  # why the provider serves no calls: see `app.core.limits.obstacle`
    warnings: list[str]


def read(view: JobView) -> Figures:
    limited, limit = job_json.limits_of([view])[view.id], None
    if limited.word is not None:
        with reading() as session:
            limit = lift.find(session, view, limited)
    return _of(view, limited, limit)


def _of(view: JobView, limited: Limited, limit: Lift | None) -> Figures:
    whole, is_capped = _whole(view)
    left = None if view.eta is None else max(0.0, (view.eta - dt.datetime.now(dt.UTC)).total_seconds())
    return Figures(
        ended=view.total - view.counts.unended,
        rate=view.counts.unended * 60 / left if left else None,
        seconds_left=left,
        seconds_taken=seconds_taken(view),
        cost=job_json.cost(view),
        unconfirmed=pricing.dollars(view.cost_unconfirmed) if view.cost_unconfirmed else None,
        whole=whole,
        is_capped=is_capped,
        cap=None if view.max_cost is None else pricing.dollars(view.max_cost),
        limit=limit,
        held=limited.detail,
        warnings=job_json.write(view, limited)["warnings"],
    )


def seconds_taken(view: JobView) -> float | None:
    if view.started_at is None or view.ended_at is None:
        return None
    return (view.ended_at - view.started_at).total_seconds()


def _whole(view: JobView) -> tuple[str | None, bool]:
    """What all of it will cost, and whether its cap ends it; None where nothing is paid, or left to pay."""
    if view.forecast is not None and view.counts.unended and not view.status.final:
        return pricing.dollars(max(view.forecast["likely"], view.cost)), False
    paid = view.total - view.counts.unended - view.reused
    if not view.cost or paid <= 0 or not view.counts.unended or view.status.final:
        return None, False
    rest, still = view.cost * view.counts.unended // paid, view.still_costs
    is_capped = view.max_cost is not None and still is not None and rest > still
    return pricing.dollars(view.cost + (rest if still is None else min(rest, still))), is_capped
