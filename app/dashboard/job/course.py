"""The course of a job: records a minute and cost over time, as a table that a script draws."""

from typing import Any

from flask import Blueprint, Response

from app.core.accounts.api_keys import READ
from app.core.money import pricing
from app.core.reading import job_json
from app.core.reading.course.points import course
from app.core.reading.jobs import JobView
from app.dashboard.blueprint import fragment, page
from app.dashboard.job import frame, regions
from app.web.auth import needs
from app.web.job_lookup import find_job
from models.session import reading

EVERY = 3.0  # seconds between two renderings, which hold all points

blp = Blueprint("course", __name__)


@blp.get("/jobs/<job_id>/course")
@needs(READ)
def show_course(job_id: str) -> Response:
    view = find_job(job_id)
    return page("job/course.html", **frame.values(view, "course"), **_values(view))


@blp.get("/jobs/<job_id>/course/live")
@needs(READ)
def stream_course(job_id: str) -> Response:
    """The region of that page while the job goes on."""
    return regions.stream(find_job(job_id), "course", EVERY, _region)


def _region(view: JobView) -> str:
    return fragment("job/course_region.html", job=view, **_values(view))


def _values(view: JobView) -> dict[str, Any]:
    with reading() as session:
        points = course(session, view)
    seconds = (points[-1].at - points[0].at).total_seconds() if points else 0.0
    return {
        "points": points,
        "is_one_day": bool(points) and points[0].at.date() == points[-1].at.date(),
        "cost": job_json.cost(view),
        "dollars": pricing.dollars,
        "mean": (points[-1].ended - points[0].ended) * 60 / seconds if seconds else 0.0,
    }
