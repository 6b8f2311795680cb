"""Text batches: many texts in one call, and a batch's status."""

from collections.abc import Mapping
from typing import Any

from flask import Response, request

from app.core.accounts.api_keys import READ, WRITE
from app.core.reading import records
from app.core.reading.jobs import JobView
from app.dialects.text import wire
from app.dialects.text.schemas import BatchIn, BatchOut, StatusOut
from app.ingest.draft import Defaults
from app.providers import registry
from app.services import submission
from app.services.options import Options, Repeat
from app.services.submission import Submitted
from app.web import bodies, capacity, idempotency, openapi
from app.web.answers import answer, answer_with
from app.web.auth import caller, needs
from app.web.blueprint import Blueprint
from app.web.error_shapes import DetailOut, InvalidOut
from app.web.job_lookup import find_job, find_submitted
from app.web.large_bodies import JSON, PLAIN, takes
from config import settings

PREFIXES = ("/batch_process", "/batch_status")

blp = Blueprint(
    "text",
    __name__,
    errors=DetailOut,
    invalid=InvalidOut,
    lenient=True,
    description=f"{openapi.OTHERS} Text batches: many texts in one call.",
)

EXAMPLE = {
    "requests": [
        {"text": "The kettle boils fast, but its handle gets too hot to hold.", "operation": "summarize"},
        {
            "text": "The kettle boils fast, but its handle gets too hot to hold.",
            "operation": "qa",
            "question": "What gets hot?",
        },
    ]
}
_DOCUMENTED = {
    "requestBody": openapi.request_body((openapi.JSON, BatchIn, EXAMPLE)),
    "parameters": [
        idempotency.DESCRIPTION,
        {
            "in": "header",
            "name": "Prefer",
            "schema": {"type": "string"},
            "example": "respond-async",
            "description": "`respond-async`: respond with 202 at once; follow the batch with"
            " `/batch_status`.",
        },
    ],
}


@blp.route("/batch_process", methods=["POST"])
@needs(WRITE, 400, 409, 413, 415, 422, 429, 503)
@blp.doc(**_DOCUMENTED)
@blp.response(200, BatchOut, description="The batch has ended.")
@blp.alt_response(
    202, schema=StatusOut, description="The batch is still running: follow it with `/batch_status`."
)
@takes({JSON: PLAIN})
def process_batch() -> Response:
    """Process many texts, and respond when all have ended.

    A batch that takes longer than BATCH_PROCESS_WAIT_SECONDS is answered with 202 and continues. A client
    that disconnects does not stop it.
    """
    with bodies.json_body() as body:
        known = bodies.known(BatchIn(), body)
        wire.check_size(known, settings.current().max_batch_requests)
        made = _submit(wire.read(bodies.load(BatchIn(), known)), idempotency.repeat(known))
    view = find_submitted(made)
    if _respond_async():
        return _continues(view, answer(wire.created(view), 202))
    if capacity.wait_for_end(view, settings.current().batch_process_wait):
        view = find_submitted(made)
    if view.status.final:
        return _with_results(wire.write(view), view)
    return _continues(view, _with_results(wire.write_status(view), view, 202))


@blp.route("/batch_status/<batch_id>", methods=["GET"])
@needs(READ, 404, 503)
@blp.response(200, StatusOut)
def get_status(batch_id: str) -> Response:
    """Get the status of a batch, with the results so far. It is found by its `batch_id` or its job's id."""
    view = find_job(batch_id)
    return _with_results(wire.write_status(view), view)


def _submit(batch: wire.Batch, repeat: Repeat | None) -> Submitted:
    chosen, me = settings.current(), caller()
    registry.require(chosen.default_model, chosen)
    defaults = Defaults(chosen.default_model, chosen.default_max_tokens, operations=batch.operations())
    promised = registry.promised_concurrency(defaults.model, chosen)
    bound = min(chosen.batch_ai_concurrency, promised or chosen.batch_ai_concurrency)
    options = Options(label=batch.label, max_concurrent=bound, webhook_url=batch.webhook_url, repeat=repeat)
    return submission.submit_drafts(me.tenant_id, me.user_id, batch.drafts(defaults), defaults, options)


def _continues(view: JobView, response: Response) -> Response:
    """The response about a batch that has not ended, with the address of its status."""
    response.headers["Location"] = f"/batch_status/{view.uid}"
    return response


def _respond_async() -> bool:
    preferences = ",".join(request.headers.getlist("Prefer")).split(",")
    return any(one.partition(";")[0].strip().lower() == "respond-async" for one in preferences)


def _with_results(content: Mapping[str, Any], view: JobView, status: int = 200) -> Response:
    ended = records.ended(view, inputs=True)
    return answer_with(content, "results", wire.items(ended), view.total, status)
