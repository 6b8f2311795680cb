"""One job at a glance: where its records are, what it costs, when it ends, and what holds it back."""

from typing import Any, Final

from flask import Blueprint, Response

from app.core.accounts.api_keys import READ
from app.core.reading import records
from app.core.reading.details import record_texts
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from app.dashboard.blueprint import fragment, page
from app.dashboard.job import calls, figures, frame, regions
from app.web.auth import needs
from app.web.job_lookup import find_job
from models.session import reading

LATEST: Final = 8  # answers that the summary shows
EVERY: Final = 0.25  # seconds between two renderings

blp = Blueprint("job", __name__)


@blp.get("/jobs/<job_id>")
@needs(READ)
def show_job(job_id: str) -> Response:
    """The job's page, whose figures move while it runs."""
    view = find_job(job_id)
    return page("job/summary.html", **_values(view), call=calls.of(view))


@blp.get("/jobs/<job_id>/live")
@needs(READ)
def follow_job(job_id: str) -> Response:
    """The figures, whenever the job has moved."""
    return regions.stream(find_job(job_id), "summary", EVERY, _region)


def _region(view: JobView) -> str:
    return fragment("job/summary_region.html", **_values(view))


def _values(view: JobView) -> dict[str, Any]:
    shown = {"figures": figures.read(view), "texts": record_texts, "records": _latest(view)}
    return frame.values(view, "summary") | shown


def _latest(view: JobView) -> list[RecordView]:
    """The records that ended last, the newest first."""
    if view.content_removed_at is not None:
        return []
    with reading() as session:
        found = records.by_completion(session, view, max(0, view.seq - LATEST), LATEST, inputs=True)
    return found.records[::-1]
