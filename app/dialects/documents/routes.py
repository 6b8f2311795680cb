"""Document jobs: many documents in one call, a job's status, its live stream, cancelling."""

import uuid
from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from app.core.accounts.api_keys import READ, WRITE
from app.core.documents.upload import Upload, receiving
from app.core.pipeline import lifecycle
from app.core.reading.job_json import PREFIX
from app.core.reading.jobs import JobView
from app.dialects.documents import story, wire
from app.dialects.documents.schemas import CancelledOut, EventOut, JobIn, JobOut
from app.errors import BadInput, NotFound
from app.ingest.draft import Defaults
from app.providers import registry
from app.services import job_actions, submission
from app.services.options import Options
from app.services.submission import Submitted
from app.web import bodies, capacity, document_body, idempotency, job_lookup, openapi
from app.web.auth import caller, needs
from app.web.blueprint import Blueprint
from app.web.error_shapes import DetailOut, InvalidOut
from app.web.large_bodies import JSON, WITH_DOCUMENTS, takes
from config import settings
from models.job import FINAL, Job, JobStatus

PREFIXES = (f"{PREFIX}/batch/jobs",)

NOT_FOUND = "Job not found"
NOT_CANCELLABLE = "Job not found or not cancellable"

blp = Blueprint(
    "documents",
    __name__,
    errors=DetailOut,
    invalid=InvalidOut,
    lenient=True,
    url_prefix=f"{PREFIX}/batch/jobs",
    description=f"{openapi.OTHERS} Document jobs with a live stream.",
)

OWN_TENANT = uuid.UUID(int=0)  # is no tenant's: the key's own
EXAMPLE = {
    "tenant_id": str(OWN_TENANT),
    "documents": [{"filename": "note.txt", "content": "VGhlIHZhbHZlIHdhcyBoYXJkIHRvIHR1cm4u"}],
    "model": "simulated",
    "prompt": "What does this say?",
}
_JOB = {"in": "path", "name": "job_id", "schema": {"type": "string", "format": "uuid"}}
_LAST_EVENT_ID = {
    "in": "header",
    "name": "Last-Event-ID",
    "schema": {"type": "string"},
    "description": "The id of the last message received: the stream resumes after it.",
}


@blp.route("", methods=["POST"])
@needs(WRITE, 404, 409, 413, 415, 422, 429, 503)
@blp.doc(
    requestBody=openapi.request_body((openapi.JSON, JobIn, EXAMPLE)),
    parameters=[idempotency.DESCRIPTION],
)
@blp.response(200, JobOut)
@takes({JSON: WITH_DOCUMENTS})
def create_job() -> dict[str, Any]:
    """Store documents, and send each to a model if there is a `prompt`."""
    with (
        receiving(caller().tenant_uid) as upload,
        document_body.body(upload, wire.is_document) as body,
    ):
        asked = bodies.load(JobIn(), bodies.known(JobIn(), _filled(body, upload)))
        if asked["tenant_id"] not in (caller().tenant_uid, OWN_TENANT):
            raise NotFound("Tenant not found")
        made = _submit(asked, upload)
    view = job_lookup.find_submitted(made)
    return wire.created(view, caller().tenant_uid)


@blp.route("/<job_id>", methods=["GET"], parameters=[_JOB])
@needs(READ, 404, 422)
@blp.response(200, JobOut)
def get_job(job_id: str) -> dict[str, Any]:
    """Get the status of a job."""
    return wire.write(_find(job_id), caller().tenant_uid)


@blp.route("/<job_id>/stream", methods=["GET"], parameters=[_JOB])
@needs(READ, 404, 422, 503)
@blp.doc(parameters=[_LAST_EVENT_ID])
@blp.response(200, EventOut, content_type="text/event-stream")
def stream_job(job_id: str) -> Response:
    """Watch a job.

    Each message has an `id`, the event `progress` (the last one `complete`) and as its data an object with
    `event_type` (`start`, `progress` or `fail` for each document, `cancel`, `complete`), `document_index`,
    `filename`, `message` and `timestamp`. A late reader first gets what it missed.
    """
    view = _find(job_id)
    seen = wire.place(request.headers.get("Last-Event-ID", ""), view.seq)
    return capacity.stream(
        story.tell(view, seen, caller().key_id), "text/event-stream", {"X-Accel-Buffering": "no"}
    )


@blp.route("/<job_id>", methods=["DELETE"], parameters=[_JOB])
@needs(WRITE, 404, 422)
@blp.response(200, CancelledOut)
def cancel_job(job_id: str) -> dict[str, str]:
    """Cancel a job that has not ended."""
    try:
        job_actions.act(caller().tenant_id, _checked(job_id), _cancel)
    except NotFound:
        raise NotFound(NOT_CANCELLABLE) from None
    return {"status": "cancelled"}


def _filled(body: Any, upload: Upload) -> Any:
    """The body, with each document in place of its marker."""
    documents = body.get("documents") if isinstance(body, dict) else None
    documents = documents if isinstance(documents, list) else []
    upload.check_count(len(documents))  # also of those without content, before each is looked at
    for document in documents:
        if isinstance(document, dict):
            upload.fill(document, "content")
    upload.refuse_unused()
    return body


def _submit(asked: dict[str, Any], upload: Upload) -> Submitted:
    chosen, me = settings.current(), caller()
    defaults = Defaults(_model(asked), chosen.default_max_tokens, prompt=asked.get("prompt"))
    collection = asked.get("collection")
    options = Options(
        priority=asked["priority"],
        metadata={} if collection is None else {"collection": collection},
        webhook_url=asked.get("webhook_url"),
        repeat=idempotency.repeat(asked),
        max_concurrent=registry.promised_concurrency(defaults.model, settings.current()),
    )
    drafts = wire.drafts(asked, defaults)
    return submission.submit_drafts(me.tenant_id, me.user_id, drafts, defaults, options, upload)


def _model(asked: dict[str, Any]) -> str:
    """The model for the documents; none without a prompt."""
    if asked.get("prompt") is None:
        return registry.NOBODY
    chosen = settings.current()
    model = asked.get("model") or chosen.default_model
    registry.require(model, chosen, "model")
    return str(model)


def _find(job_id: str) -> JobView:
    try:
        return job_lookup.find_job(_checked(job_id))
    except NotFound:
        raise NotFound(NOT_FOUND) from None


def _cancel(session: Session, job: Job) -> None:
    if job.status in FINAL or job.status == JobStatus.CANCELLING:
        raise NotFound(NOT_CANCELLABLE)
    lifecycle.cancel(session, job)
    job_lookup.about(job.uid)


def _checked(job_id: str) -> str:
    """`job_id`; raises `BadInput` unless it is a UUID."""
    try:
        uuid.UUID(job_id)
    except ValueError:
        problem = {"where": "job_id", "message": f"give a job's id, a UUID; found {job_id!r}"}
        raise BadInput(problem["message"], [problem], paths=[("path", "job_id")]) from None
    return job_id
