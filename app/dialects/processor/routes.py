"""The batch processor: batches of items for a language model or an inference server."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from flask import Response
from sqlalchemy import ColumnElement, or_, select

from app.core.accounts.api_keys import BATCHING, READ, WRITE
from app.core.pipeline import batch_settings, lifecycle, priority_queue
from app.core.reading import forecast, jobs, records
from app.core.reading.jobs import JobView
from app.dialects.processor import models, time_limits, wire
from app.dialects.processor.inputs import BatchesQuery, BatchIn, ConfigurationIn, ResultsQuery
from app.dialects.processor.outputs import (
    BatchesOut,
    CancelledOut,
    ConfigurationOut,
    ErrorOut,
    ResultsOut,
    StatusOut,
    SubmittedOut,
)
from app.errors import Conflict
from app.ingest.draft import Defaults, Problems
from app.ingest.records import read_records
from app.providers import registry
from app.services import job_actions, submission
from app.services.options import Options, Repeat
from app.web import bodies, capacity, idempotency, openapi
from app.web.auth import caller, needs
from app.web.blueprint import Blueprint
from app.web.job_lookup import find_job, find_submitted, with_content
from app.web.large_bodies import JSON, PLAIN, takes
from config import settings
from models.base import now
from models.job import Job, JobCounts, JobStatus
from models.session import in_transaction, reading

PREFIX = "/api/batch-processor"
PAGE = 1_000  # records
UNBEGUN = 86_400  # seconds after which a batch expires that never began: its time limit counts from there


blp = Blueprint(
    "batch processor",
    __name__,
    errors=ErrorOut,
    lenient=True,
    url_prefix=PREFIX,
    description=f"{openapi.OTHERS} The batch processor.",
)


EXAMPLE = {
    "data": [{"request_id": "sky", "prompt": "Why is the sky blue?"}],
    "priority": "high",
    "metadata": {"model_id": "simulated"},
}


@blp.route("/submit", methods=["POST"])
@needs(WRITE, 409, 413, 415, 422, 429, 503)
@blp.doc(
    requestBody=openapi.request_body((openapi.JSON, BatchIn, EXAMPLE)),
    parameters=[idempotency.DESCRIPTION],
)
@blp.response(200, SubmittedOut)
@takes({JSON: PLAIN})
def submit_batch() -> dict[str, Any]:
    """Submit a batch."""
    with bodies.json_body() as body:
        known = bodies.known(BatchIn(), body)
        view = _submit(bodies.load(BatchIn(), known), idempotency.repeat(known))
    with reading() as session:
        place = priority_queue.position(session, view.id)
        expected = forecast.read(session, view)
    return wire.submitted(view, place, expected)


@blp.route("/status/<batch_id>", methods=["GET"])
@needs(READ, 404)
@blp.response(200, StatusOut)
def get_status(batch_id: str) -> dict[str, Any]:
    """Get a batch."""
    view = find_job(batch_id)
    with reading() as session:
        end = forecast.read(session, view).end
        at = session.scalars(select(now())).one()
    return wire.status(view, end, at)


@blp.route("/results/<batch_id>", methods=["GET"])
@needs(READ, 404, 409, 410, 503)
@blp.arguments(ResultsQuery, location="query")
@blp.response(200, ResultsOut)
def get_results(query: dict[str, Any], batch_id: str) -> Response:
    """Get the result of each item, once the batch has ended."""
    view = with_content(find_job(batch_id))
    with reading() as session:
        at = session.scalars(select(now())).one()
    if not view.status.final and not query["in_part"]:
        raise Conflict(
            f"batch {wire.batch_id(view)} is {wire.word(view)}: it has no results before it has ended;"
            " ?partial=true returns those so far"
        )
    head = {"batch_id": wire.batch_id(view), "status": wire.word(view)}
    tail = {"metadata": wire.results_metadata(view, at)}
    return capacity.stream(_results(view, head, tail), "application/json", {})


@blp.route("/batches", methods=["GET"])
@needs(READ)
@blp.arguments(BatchesQuery, location="query")
@blp.response(200, BatchesOut)
def list_batches(query: dict[str, Any]) -> dict[str, Any]:
    """List batches, newest first."""
    limit = query["limit"]
    with reading() as session:
        found = jobs.page(session, caller().tenant_id, None, limit + 1, *_are(query["status"]))
        configuration = batch_settings.read(session)
    batches = [wire.listed(view, configuration) for view in found[:limit]]
    return {"batches": batches, "has_more": len(found) > limit}


@blp.route("/cancel/<batch_id>", methods=["DELETE"])
@needs(WRITE, 404, 409)
@blp.response(200, CancelledOut)
def cancel_batch(batch_id: str) -> dict[str, Any]:
    """Cancel a batch: no new calls start, and calls in flight are cut off."""
    view = find_job(batch_id)
    if view.status.final:
        raise Conflict(f"the batch is {wire.word(view)}: it has ended and can no longer be cancelled")
    job_actions.act(caller().tenant_id, str(view.uid), lifecycle.cancel)
    return {"batch_id": wire.batch_id(view), "status": "cancelled"}


@blp.route("/configure", methods=["GET"])
@needs(READ)
@blp.response(200, ConfigurationOut)
def get_configuration() -> dict[str, Any]:
    """Get how items are batched, and the weight of each priority."""
    with reading() as session:
        return wire.configuration(batch_settings.read(session))


@blp.route("/configure", methods=["POST"])
@needs(BATCHING, 422)
@blp.arguments(ConfigurationIn, example={"max_batch_size": 64, "max_wait_time_ms": 20})
@blp.response(200, ConfigurationOut)
def configure(values: dict[str, Any]) -> dict[str, Any]:
    """Change the configuration, for all workers within a second and for batches that already wait."""
    return wire.configuration(in_transaction(partial(batch_settings.change, values=values)))


def _submit(asked: dict[str, Any], repeat: Repeat | None) -> JobView:
    problems = Problems()
    bodies.ignore(wire.unused(asked["data"]))
    records = wire.records(asked["data"], problems)
    problems.refuse()
    kind = wire.kind(records)
    defaults = _defaults(kind, asked["metadata"] or {})
    drafts = list(read_records(records, defaults, None, problems, max_records=PAGE, label="data[{}]"))
    problems.refuse()
    me, options = caller(), _options(kind, defaults.model, asked, repeat)
    return find_submitted(submission.submit_drafts(me.tenant_id, me.user_id, drafts, defaults, options))


def _defaults(kind: str, metadata: dict[str, Any]) -> Defaults:
    """The model of a batch; raises `BadInput` when there is none."""
    chosen = settings.current()
    model = models.choose(kind, metadata, chosen)
    registry.require(model, chosen, "metadata.model_id")
    provider = registry.of(model)
    return Defaults(
        model=model,
        max_tokens=chosen.default_max_tokens,
        inputs=provider.takes_inputs,
        messages=provider.takes_messages,
        whole=provider.takes_whole_requests,
    )


def _options(kind: str, model: str, asked: dict[str, Any], repeat: Repeat | None) -> Options:
    with reading() as session:
        priority = batch_settings.read(session).priority(asked["priority"])
    return Options(
        label=asked["batch_id"],
        priority=priority,
        urgency=asked["priority"],
        time_limit_ms=time_limits.of(kind, asked["timeout_ms"]),
        expires_in=UNBEGUN,
        metadata=asked["metadata"] or {},
        webhook_url=asked.get("webhook_url"),
        repeat=repeat,
        max_concurrent=registry.promised_concurrency(model, settings.current()),
    )


def _are(status: str) -> list[ColumnElement[bool]]:
    """Conditions for the jobs whose status word is `status`, or one of its words."""
    over = Job.status.in_((JobStatus.COMPLETED, JobStatus.EXPIRED))
    waiting = Job.status == JobStatus.PENDING
    processing = Job.status.in_((JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.CANCELLING))
    conditions: dict[str, list[ColumnElement[bool]]] = {
        "all": [],
        "active": [or_(waiting, processing)],
        "queued": [waiting],
        "processing": [processing],
        "cancelled": [Job.status == JobStatus.CANCELLED],
        "completed": [over, JobCounts.succeeded > 0],
        "failed": [or_(Job.status == JobStatus.FAILED, over & (JobCounts.succeeded == 0))],
    }
    return conditions[status]


def _results(view: JobView, head: dict[str, Any], tail: dict[str, Any]) -> Iterator[bytes]:
    """One JSON object, page by page."""
    yield json.dumps(head)[:-1].encode() + b', "results": ['
    after: int | None = None
    comma = b""
    while True:
        with records.snapshot() as session:
            page = records.by_index(session, view, after, PAGE, words=records.ENDED_WORDS)
        for record in page.records:
            yield comma + json.dumps(wire.result(record, view)).encode()
            comma = b", "
        if page.after is None:
            break
        after = page.after
    yield b"], " + json.dumps(tail)[1:].encode()
