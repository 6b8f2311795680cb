"""Why records failed: groups by cause, each of which is asked again with one click."""

from typing import Any

from flask import Blueprint, Response

from app.core.accounts.api_keys import READ
from app.core.reading.details import error_groups
from app.core.reading.details.error_groups import Group
from app.core.reading.jobs import JobView
from app.dashboard.blueprint import page
from app.dashboard.job import calls, frame
from app.web.auth import needs
from app.web.job_lookup import find_job
from models.session import reading

MORE = 4  # times the tokens that an answer had which was cut

blp = Blueprint("job_errors", __name__)


@blp.get("/jobs/<job_id>/errors")
@needs(READ)
def show_errors(job_id: str) -> Response:
    """The groups of errors, and the answers that were cut or refused."""
    view = find_job(job_id)
    return page(
        "job/errors.html",
        **frame.values(view, "errors"),
        **groups_of(view),
        more_tokens=min(MORE * view.max_tokens, 1_000_000),
        call=calls.of(view, "/records", query={"status": "failed"}),
    )


def groups_of(view: JobView) -> dict[str, Any]:
    """Groups of failed records, and of answers that are not whole."""
    with reading() as session:
        groups: list[Group] = error_groups.of(session, view)
    return {"groups": groups, "stopped": error_groups.stopped(view)}
