"""What a list of jobs shows, as its address says: so a filter can be linked to, and survives a reload."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from flask import url_for

from app.core.reading.job_list import search
from app.core.reading.job_list.listing import Query
from app.core.reading.job_list.status_filter import StatusFilter
from app.errors import BadInput
from app.web import cursors

PAGE = 30  # jobs

TITLES: Mapping[StatusFilter, str] = {
    StatusFilter.ALL: "All",
    StatusFilter.WAITING: "Waiting",
    StatusFilter.RUNNING: "Running",
    StatusFilter.PAUSED: "Paused",
    StatusFilter.COMPLETED: "Completed",
    StatusFilter.WITH_FAILURES: "With failures",
    StatusFilter.FAILED: "Failed",
    StatusFilter.CANCELLED: "Cancelled",
    StatusFilter.EXPIRED: "Expired",
}


@dataclass(frozen=True, slots=True)
class Shown:
    query: Query
    before: uuid.UUID | None

    @classmethod
    def read(cls, values: Mapping[str, str]) -> Self:
        """From the fields of an address or a form; raises `BadInput` for what is no filter of ours."""
        word = values.get("status", "") or StatusFilter.ALL.value
        try:
            status = StatusFilter(word)
        except ValueError:
            known = ", ".join(StatusFilter)
            raise BadInput(f"there is no filter {word[:50]!r} of jobs: choose one of {known}") from None
        query = Query(status, search.tidied(values.get("q", "")))
        return cls(query, cursors.job_before(values.get("cursor") or None))

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of its address; those that say nothing are left out."""
        status = self.query.status
        before = "" if self.before is None else cursors.write(str(self.before))
        fields = {
            "status": "" if status == StatusFilter.ALL else status.value,
            "q": self.query.text,
            "cursor": before,
        }
        return {name: value for name, value in fields.items() if value}

    @property
    def url(self) -> str:
        return url_for("dashboard.jobs.show_jobs", **self.fields)

    @property
    def live_url(self) -> str:
        return url_for("dashboard.jobs.stream_jobs", **self.fields)

    def only(self, status: StatusFilter) -> Self:
        """Its first page with another filter."""
        return replace(self, query=replace(self.query, status=status), before=None)

    def from_before(self, before: uuid.UUID | None) -> Self:
        return replace(self, before=before)
