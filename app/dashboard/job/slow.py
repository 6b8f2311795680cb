"""Why a job is slow: where its time went, what limits it now, and what would lift that."""

from typing import Any

from flask import Blueprint, Response

from app.core.accounts.api_keys import READ
from app.core.reading import job_json
from app.core.reading.course import lift
from app.core.reading.course.time_spent import TimeSpent, time_spent
from app.core.reading.jobs import JobView
from app.dashboard.blueprint import fragment, page
from app.dashboard.job import frame, regions, state_words
from app.web.auth import needs
from app.web.job_lookup import find_job
from models.session import reading

EVERY = 2.0  # seconds between two renderings

blp = Blueprint("slow", __name__)


@blp.get("/jobs/<job_id>/slow")
@needs(READ)
def show_slow(job_id: str) -> Response:
    view = find_job(job_id)
    return page("job/slow.html", **frame.values(view, "slow"), **_values(view))


@blp.get("/jobs/<job_id>/slow/live")
@needs(READ)
def stream_slow(job_id: str) -> Response:
    """The region of that page while the job goes on."""
    return regions.stream(find_job(job_id), "slow", EVERY, _region)


def _region(view: JobView) -> str:
    return fragment("job/slow_region.html", job=view, **_values(view))


def _values(view: JobView) -> dict[str, Any]:
    limited = job_json.limits_of([view])[view.id]
    with reading() as session:
        spent = time_spent(session, view)
        lifted = lift.find(session, view, limited)
    return {
        "spent": spent,
        "lift": lifted,
        "words": state_words.of,
        "groups": _by_group(spent),
        "state": None if spent.state is None else state_words.of(spent.state),
    }


def _by_group(spent: TimeSpent) -> list[tuple[str, str, float]]:
    """Each group with its name and its seconds, in their order."""
    sums = dict.fromkeys(state_words.GROUPS, 0.0)
    for part in spent.parts:
        sums[state_words.of(part.state).group] += part.seconds
    return [(group, name, sums[group]) for group, name in state_words.GROUPS.items()]
