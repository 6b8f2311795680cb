"""Message Batches: making, following, listing, cancelling and deleting them, and their results."""

from collections.abc import Sequence
from typing import Any

from flask import Response
from sqlalchemy import or_

from app.core import batch_ids
from app.core.accounts.api_keys import READ, WRITE
from app.core.pipeline import lifecycle
from app.core.reading import job_json, jobs
from app.core.reading.jobs import JobView
from app.dialects.anthropic import addresses, intake, results, wire
from app.dialects.anthropic.refusals import refuse
from app.dialects.anthropic.schemas import BatchIn, BatchOut, BatchPage, DeletedOut, ListQuery
from app.errors import BadInput, NotFound, Refused
from app.ingest.spool import DraftSpool
from app.ingest.values import shown
from app.providers import registry
from app.services import job_actions, submission
from app.services.job_actions import Verb
from app.web import capacity, idempotency, openapi
from app.web.auth import caller, needs
from app.web.blueprint import Blueprint
from app.web.error_shapes import AnthropicErrorOut
from app.web.job_lookup import find_job, find_submitted
from app.web.large_bodies import JSON, takes
from config import settings
from models.job import Job
from models.session import reading

PREFIXES = ("/v1/messages",)
JSONL = "application/x-jsonl"

blp = Blueprint(
    "anthropic",
    __name__,
    errors=AnthropicErrorOut,
    lenient=True,
    url_prefix=wire.PREFIX,
    description=f"{openapi.OTHERS} Anthropic's Message Batches.",
)
blp.register_error_handler(Refused, refuse)

EXAMPLE = {
    "requests": [
        {
            "custom_id": "sky",
            "params": {
                "model": "simulated",
                "max_tokens": 100,
                "messages": [{"role": "user", "content": "Why is the sky blue?"}],
            },
        }
    ]
}


@blp.route("", methods=["POST"])
@needs(WRITE, 400, 409, 413, 415, 429, 503)
@blp.doc(
    requestBody=openapi.request_body((openapi.JSON, BatchIn, EXAMPLE)), parameters=[idempotency.DESCRIPTION]
)
@blp.response(200, BatchOut)
@takes({JSON: intake.LIMIT})
def create_batch() -> dict[str, Any]:
    """Submit a batch of requests.

    They may be compressed (`Content-Encoding`). The headers `anthropic-version` and `anthropic-beta` go on to
    the provider with each request.
    """
    me = caller()
    with DraftSpool(settings.current().data) as spool:
        defaults, options = intake.take_in(spool)
        made = submission.submit(me.tenant_id, me.user_id, spool, defaults, options)
    return _written([find_submitted(made)])[0]


@blp.route("", methods=["GET"])
@needs(READ, 400)
@blp.arguments(ListQuery, location="query", error_status_code=400)
@blp.response(200, BatchPage)
def list_batches(query: dict[str, Any]) -> dict[str, Any]:
    """List batches, newest first; jobs of every contract are among them."""
    found, has_more = _page(query)
    ids = [batch_ids.write(batch_ids.MESSAGE_BATCH, view.uid) for view in found]
    return {
        "data": _written(found),
        "has_more": has_more,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }


@blp.route("/<batch_id>", methods=["GET"])
@needs(READ, 404)
@blp.response(200, BatchOut)
def get_batch(batch_id: str) -> dict[str, Any]:
    """Get a batch."""
    return _written([_find(batch_id)])[0]


@blp.route("/<batch_id>/cancel", methods=["POST"])
@needs(WRITE, 400, 404)
@blp.response(200, BatchOut)
def cancel_batch(batch_id: str) -> dict[str, Any]:
    """Cancel a batch: no new calls start, and every answer that came is kept."""
    _act(_find(batch_id), lifecycle.cancel)
    return _written([_find(batch_id)])[0]


@blp.route("/<batch_id>", methods=["DELETE"])
@needs(WRITE, 400, 404)
@blp.response(200, DeletedOut)
def delete_batch(batch_id: str) -> dict[str, Any]:
    """Delete a batch that has ended, with its content; its cost stays in the ledger."""
    view = _find(batch_id)
    _act(view, lifecycle.delete)
    return {"id": batch_ids.write(batch_ids.MESSAGE_BATCH, view.uid), "type": "message_batch_deleted"}


@blp.route("/<batch_id>/results", methods=["GET"])
@needs(READ, 404, 503)
@blp.response(200, {"type": "string"}, content_type=JSONL)
def get_results(batch_id: str) -> Response:
    """Get the results so far as JSON lines, in the order of the requests."""
    view = _find(batch_id)
    if view.content_removed_at is not None:
        raise NotFound("the results of the batch were deleted (`archived_at`); its counts and cost are kept")
    return capacity.stream(results.lines(view), JSONL, {})


def _find(name: str) -> JobView:
    """The caller's job; documents that are only stored are no batch of messages.

    A batch of a file that was invalid asks nobody either: it has no requests, and has ended.
    """
    try:
        view = find_job(name)
    except NotFound:
        raise NotFound(f"there is no batch {shown(name)}: GET {wire.PREFIX} lists those there are") from None
    if view.model == registry.NOBODY and view.total:
        raise NotFound(f"the job {name!r} stores documents and asks nothing: it is no batch of messages")
    return view


def _act(view: JobView, verb: Verb) -> None:
    job_actions.act(caller().tenant_id, str(view.uid), verb)


def _page(query: dict[str, Any]) -> tuple[list[JobView], bool]:
    """The batches of a page, newest first, and whether more lie behind it in its direction."""
    tenant, limit = caller().tenant_id, query["limit"]
    asks = or_(Job.model != registry.NOBODY, Job.total == 0)
    with reading() as session:
        if "before_id" in query:
            found = jobs.page_above(session, tenant, _place(query, "before_id"), limit + 1, asks)
            return found[-limit:], len(found) > limit
        after = _place(query, "after_id") if "after_id" in query else None
        found = jobs.page(session, tenant, after, limit + 1, asks)
        return found[:limit], len(found) > limit


def _place(query: dict[str, Any], name: str) -> Any:
    uid = batch_ids.read(query[name])
    if uid is None:
        raise BadInput(f"{name}: give the id of a batch; found {query[name][:80]!r}")
    return uid


def _written(views: Sequence[JobView]) -> list[dict[str, Any]]:
    strict, root = settings.current().strict_batch_counts, addresses.root()
    limited = job_json.limits_of(views)
    return [wire.batch(view, limited[view.id], root, strict=strict) for view in views]
