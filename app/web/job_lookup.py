"""The one job that a request is about: looked up for its caller, and named in the response and the log."""

import uuid

import structlog
from flask import Flask, Response, g
from werkzeug.routing import BaseConverter

from app.core.json_text import timestamp
from app.core.reading import jobs
from app.core.reading.jobs import JobView
from app.errors import Conflict, Gone, NotFound
from app.services.submission import Submitted
from app.web.auth import caller
from models.session import reading

JOB = "Penstock-Job"  # the response header that names the job


class JobName(BaseConverter):
    """A job's name as the last part of a path, `<job:…>`: not that of the route beside it.

    Otherwise that route's path would seem to support the methods of a job.
    """

    regex = r"(?!estimate\Z)[^/]+"
    part_isolating = True


def register(app: Flask) -> None:
    """Make every response about a job name it."""
    app.url_map.converters["job"] = JobName
    app.after_request(_name_job)


def find_job(name: str) -> JobView:
    """The caller's job with that id or label, from any contract; the response will name it."""
    with reading() as session:
        view = jobs.find(session, caller().tenant_id, name)
    about(view.uid)
    return view


def find_submitted(made: Submitted) -> JobView:
    """The job that a submission made, or that it repeats; raises `Conflict` when it was deleted since."""
    try:
        return find_job(str(made.uid))
    except NotFound:
        raise Conflict(
            "the job of this submission was deleted: use a new Idempotency-Key for a new job"
        ) from None


def with_content(view: JobView) -> JobView:
    """The job, or `Gone` when its inputs and outputs were deleted."""
    if view.content_removed_at is not None:
        when = timestamp(view.content_removed_at)
        raise Gone(f"the content of job {view.uid} was deleted on {when}; its counts and cost are kept")
    return view


def about(job: uuid.UUID) -> None:
    """Make the response, and log lines from now on, name the job."""
    g.job_uid = job
    structlog.contextvars.bind_contextvars(job=str(job))


def _name_job(response: Response) -> Response:
    if "job_uid" in g:
        response.headers[JOB] = str(g.job_uid)
    return response
