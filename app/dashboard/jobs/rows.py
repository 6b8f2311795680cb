"""The rows of the list, and the filters above it, as its templates show them."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from app.core.reading import job_json
from app.core.reading.job_json import Limited
from app.core.reading.job_list.listing import Tally
from app.core.reading.job_list.status_filter import StatusFilter
from app.core.reading.jobs import JobView
from app.dashboard.jobs.shown import TITLES, Shown

ALWAYS = frozenset({StatusFilter.ALL, StatusFilter.RUNNING})  # of the filters; others only if they show any


@dataclass(frozen=True, slots=True)
class Row:
    job: JobView
    limited: Limited
    cost: str | None  # dollars
    seconds_left: float | None

    @property
    def id(self) -> str:
        """Of its element: so it keeps its focus while it changes."""
        return f"job-{self.job.uid}"

    @property
    def failures(self) -> int:
        return self.job.counts.failed + self.job.counts.expired

    @property
    def ended(self) -> int:
        return self.job.total - self.job.counts.unended


@dataclass(frozen=True, slots=True)
class Pill:
    title: str
    url: str
    count: int
    is_current: bool


def of(views: Sequence[JobView]) -> list[Row]:
    limits = job_json.limits_of(views)
    now = dt.datetime.now(dt.UTC)
    return [Row(view, limits[view.id], job_json.cost(view), _left(view, now)) for view in views]


def pills(shown: Shown, tally: Tally) -> list[Pill]:
    current = shown.query.status
    return [
        Pill(title, shown.only(status).url, tally.counts[status], status == current)
        for status, title in TITLES.items()
        if tally.counts[status] or status in ALWAYS or status == current
    ]


def _left(view: JobView, now: dt.datetime) -> float | None:
    return None if view.eta is None else max(0.0, (view.eta - now).total_seconds())
