"""A job's answers as a file: what has ended so far, in the form in which the table came."""

from flask import Blueprint, Response

from app.core.accounts.api_keys import READ
from app.errors import NotFound
from app.web.auth import needs
from app.web.job_lookup import find_job, with_content
from app.web.results.downloads import TYPES
from app.web.results.job_results import Wanted, file_of

blp = Blueprint("job_downloads", __name__)


@blp.get("/jobs/<job_id>/results.<format>")
@needs(READ)
def send_results(job_id: str, format: str) -> Response:
    """The file."""
    if format not in TYPES:
        raise NotFound(f"there are no results as {format!r}: there are {', '.join(sorted(TYPES))}")
    return file_of(with_content(find_job(job_id)), Wanted(format))
