"""Jobs: listing, showing, changing, and their actions."""

from functools import partial
from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from app.api.blueprint import Blueprint
from app.api.request_schemas import PageQuery, RetryIn
from app.api.response_schemas import JobOut, JobPage, RetriedOut
from app.core.accounts.api_keys import READ, WRITE
from app.core.pipeline import lifecycle
from app.core.reading import job_json, jobs
from app.core.requests.asked_again import Choice
from app.services import job_actions, runs
from app.services.job_actions import Verb
from app.web import cursors, openapi
from app.web.auth import caller, needs
from app.web.bodies import load, read_json, require_json
from app.web.job_lookup import about, find_job
from app.web.submissions.fields import JobChange
from models.job import Job
from models.session import reading

blp = Blueprint("jobs", "Batches of records that are submitted together.")

RETRY = openapi.request_body((openapi.JSON, RetryIn, {"max_tokens": 4096, "only": ["truncated"]}))


@blp.route("/jobs", methods=["GET"])
@needs(READ)
@blp.arguments(PageQuery, location="query")
@blp.response(200, JobPage)
def list_jobs(query: dict[str, Any]) -> dict[str, Any]:
    """List jobs, newest first."""
    before, limit = cursors.job_before(query["cursor"]), query["limit"]
    with reading() as session:
        found = jobs.page(session, caller().tenant_id, before, limit + 1)
    more = len(found) > limit
    found = found[:limit]
    return {
        "data": job_json.jobs_out(found),
        "next_cursor": cursors.write(str(found[-1].uid)) if more else None,
    }


@blp.route("/jobs/<job:job_id>", methods=["GET"])
@needs(READ, 404)
@blp.response(200, JobOut)
def get_job(job_id: str) -> dict[str, Any]:
    """Get a job."""
    return _show(job_id)


@blp.route("/jobs/<job:job_id>", methods=["PATCH"])
@needs(WRITE, 404)
@blp.arguments(JobChange, example={"name": "nightly", "priority": 8, "max_cost": "2.50"})
@blp.response(200, JobOut)
def change_job(changes: dict[str, Any], job_id: str) -> dict[str, Any]:
    """Change a job's name, metadata, priority or cap."""
    if changes.get("priority", 0) is None:
        del changes["priority"]
    if changes.get("metadata", {}) is None:
        changes["metadata"] = {}
    _do(job_id, partial(lifecycle.change, **changes))
    return _show(job_id)


@blp.route("/jobs/<job:job_id>", methods=["DELETE"])
@needs(WRITE, 404, 409)
@blp.response(204)
def delete_job(job_id: str) -> Response:
    """Delete a job that has ended, with its content; its cost stays in the ledger."""
    _do(job_id, lifecycle.delete)
    return Response(status=204)


@blp.route("/jobs/<job_id>/cancel", methods=["POST"])
@needs(WRITE, 404, 409)
@blp.response(200, JobOut)
def cancel_job(job_id: str) -> dict[str, Any]:
    """Cancel a job: no new calls start, and calls in flight are cut off."""
    _do(job_id, lifecycle.cancel)
    return _show(job_id)


@blp.route("/jobs/<job_id>/pause", methods=["POST"])
@needs(WRITE, 404, 409)
@blp.response(200, JobOut)
def pause_job(job_id: str) -> dict[str, Any]:
    """Pause a job: no new calls start, and calls in flight finish."""
    run = runs.named(request.headers.get(runs.HEADER))
    _do(job_id, lifecycle.pause if run is None else partial(lifecycle.leave, run=run))
    return _show(job_id)


@blp.route("/jobs/<job_id>/resume", methods=["POST"])
@needs(WRITE, 404, 409)
@blp.response(200, JobOut)
def resume_job(job_id: str) -> dict[str, Any]:
    """Resume a paused job."""
    _do(job_id, partial(lifecycle.resume, run=runs.named(request.headers.get(runs.HEADER))))
    return _show(job_id)


@blp.route("/jobs/<job_id>/retry", methods=["POST"])
@needs(WRITE, 404, 409, 413, 415, 422)
@blp.doc(requestBody={**RETRY, "required": False})
@blp.response(200, RetriedOut)
def retry_job(job_id: str) -> dict[str, Any]:
    """Run again the records that failed or expired, as new attempts of the same records.

    What would only be cut or refused again stays as it is and is counted in `left`: an answer that was cut is
    run again with a larger `max_tokens`, one that was refused if `only` names it. A record that succeeded
    with such an answer is run again if `only` names its `stop_reason`; the new answer replaces the old one,
    and both are paid.
    """
    choice, left = _choice(), {}
    run = runs.named(request.headers.get(runs.HEADER))

    def retry(session: Session, job: Job) -> None:
        left["records"] = lifecycle.retry(session, job, choice, run)

    _do(job_id, retry)
    return {**_show(job_id), "left": dict(left["records"])}


def _choice() -> Choice:
    """What a retry's body asks for; it may have none."""
    if not request.get_data():
        return lifecycle.EVERYTHING
    require_json(request)
    asked = load(RetryIn(), read_json(request.get_data()))
    only = asked.get("ended_with")
    return Choice(None if only is None else frozenset(only), asked.get("max_tokens"))


def _show(job_id: str) -> dict[str, Any]:
    """The job's current state."""
    return job_json.jobs_out([find_job(job_id)])[0]


def _do(job_id: str, verb: Verb) -> None:
    def work(session: Session, job: Job) -> None:
        about(job.uid)  # a refusal is about it, too
        verb(session, job)

    job_actions.act(caller().tenant_id, job_id, work)
