"""Batches: made of a file or of requests, listed, followed and cancelled."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from app.core import batch_ids
from app.core.accounts.api_keys import READ, WRITE
from app.core.pipeline import lifecycle
from app.core.reading import file_batches, job_json, jobs
from app.core.reading.jobs import JobView
from app.dialects.openai import files, lines, wire
from app.dialects.openai.blueprint import blp
from app.dialects.openai.lines import Item, LineError, Reader
from app.dialects.openai.outputs import Output
from app.dialects.openai.schemas import BatchIn, BatchOut, BatchPage, BatchQuery, window_seconds
from app.errors import BadInput, NotFound
from app.ingest.draft import Draft
from app.ingest.spool import DraftSpool
from app.ingest.whole.requests import MESSAGES
from app.providers import registry
from app.services import job_actions, submission
from app.services.options import FileTerms, Options
from app.services.submission import Submitted
from app.web import bodies, idempotency, job_lookup, openapi
from app.web.auth import caller, needs
from app.web.connection import while_connected
from app.web.large_bodies import JSON, PLAIN, takes
from config import settings
from models.file import File
from models.session import reading

EXAMPLE = {
    "endpoint": MESSAGES,
    "completion_window": wire.WINDOW,
    "requests": [
        {
            "custom_id": "sky",
            "body": {
                "model": "simulated",
                "max_tokens": 99,
                "messages": [{"role": "user", "content": "Why is the sky blue?"}],
            },
        }
    ],
    "metadata": {"team": "weather"},
}
_CREATE = {
    "requestBody": openapi.request_body((openapi.JSON, BatchIn, EXAMPLE)),
    "parameters": [idempotency.DESCRIPTION],
}
_BATCH = {"in": "path", "name": "batch_id", "schema": {"type": "string"}}


@blp.route("/batches", methods=["POST"])
@needs(WRITE, 400, 404, 409, 413, 415, 429, 503)
@blp.doc(**_CREATE)
@blp.response(200, BatchOut)
@takes({JSON: PLAIN})
def create_batch() -> dict[str, Any]:
    """Make a batch of an uploaded file, or of the `requests` that come with the call.

    If any line is invalid the batch has failed, `errors` says why line by line, and nothing was asked. The
    first model that can be asked here is the batch's; a line for a model of another provider fails alone.
    """
    with bodies.json_body() as body:
        asked = bodies.load(BatchIn(), bodies.known(BatchIn(), body))
        made = _make(asked)
    return _out([job_lookup.find_submitted(made)])[0]


@blp.route("/batches", methods=["GET"])
@needs(READ, 400)
@blp.arguments(BatchQuery, location="query", error_status_code=400)
@blp.response(200, BatchPage)
def list_batches(query: Mapping[str, Any]) -> dict[str, Any]:
    """List batches, newest first: every job of the tenant, whichever contract it came by."""
    limit = query["limit"]
    with reading() as session:
        found = jobs.page(session, caller().tenant_id, _after(query.get("after")), limit + 1)
    return wire.page(_out(found[:limit]), has_more=len(found) > limit)


@blp.route("/batches/<batch_id>", methods=["GET"], parameters=[_BATCH])
@needs(READ, 404)
@blp.response(200, BatchOut)
def get_batch(batch_id: str) -> dict[str, Any]:
    """Get a batch."""
    return _out([_find(batch_id)])[0]


@blp.route("/batches/<batch_id>/cancel", methods=["POST"], parameters=[_BATCH])
@needs(WRITE, 404, 409, 413)
@blp.response(200, BatchOut)
def cancel_batch(batch_id: str) -> dict[str, Any]:
    """Cancel a batch: no new calls start. The answers that have come stay in its output file."""
    view = _find(batch_id)
    job_actions.act(caller().tenant_id, str(view.uid), lifecycle.cancel)
    return _out([_find(str(view.uid))])[0]


def _find(batch_id: str) -> JobView:
    try:
        return job_lookup.find_job(batch_id)
    except NotFound:
        raise NotFound(f"there is no batch {batch_id[:100]!r}: GET /v1/batches lists them") from None


def _after(batch_id: str | None) -> uuid.UUID | None:
    if batch_id is None:
        return None
    found = batch_ids.read(batch_id)
    if found is None:
        raise wire.wrong_after(f"give the id of a batch; found {batch_id!r}")
    return found


def _out(views: Sequence[JobView]) -> list[dict[str, Any]]:
    with reading() as session:
        terms = file_batches.of(session, views)
    limited = job_json.limits_of(views)
    return [
        wire.batch(view, terms.get(view.id), job_json.progress_out(view, limited[view.id])) for view in views
    ]


def _make(asked: Mapping[str, Any]) -> Submitted:
    """Store the batch: with its requests, or as one that has failed if any of them is invalid."""
    file = None if asked.get("input_file_id") is None else files.input_file(asked["input_file_id"])
    chosen, me = settings.current(), caller()
    reader = Reader(
        asked["endpoint"], _why_not, max_tokens=chosen.default_max_tokens, max_records=chosen.max_records
    )
    options = _options(asked, file)
    with DraftSpool(chosen.data) as spool:
        with _items(asked, file) as items:
            for draft in while_connected(_drafts(reader, items)):
                spool.add(draft)
        if reader.errors or reader.defaults is None:
            errors = [error.out() for error in reader.errors]
            return submission.store_failed(me.tenant_id, me.user_id, options, errors)
        assert options.file_terms is not None
        terms = replace(options.file_terms, mixed=reader.is_mixed)
        options = replace(options, file_terms=terms)
        return submission.submit(me.tenant_id, me.user_id, spool, reader.defaults, options)


def _drafts(reader: Reader, items: Iterator[Item]) -> Iterator[Draft]:
    """Every line is read, however many are wrong; drafts come as long as none is."""
    try:
        yield from (draft for draft in reader.drafts(items) if not reader.errors)
    except BadInput as error:  # the file is in no encoding that can be read
        reader.errors.append(LineError("invalid_file_format", error.message))


@contextmanager
def _items(asked: Mapping[str, Any], file: File | Output | None) -> Iterator[Iterator[Item]]:
    """The lines of the file, or the requests that came instead of one."""
    if file is None:
        yield lines.of_list(asked["requests"], asked["endpoint"])
        return
    with files.content(file) as content:
        yield lines.of_file(content)


def _options(asked: Mapping[str, Any], file: File | Output | None) -> Options:
    expiry = asked.get("output_expires_after")
    terms = FileTerms(
        endpoint=asked["endpoint"],
        input_file=asked.get("input_file_id"),
        completion_window=asked["completion_window"],
        output_seconds=None if expiry is None else expiry["seconds"],
    )
    return Options(
        name=None if file is None else file.name,
        metadata=asked.get("metadata") or {},
        expires_in=window_seconds(asked["completion_window"]),
        webhook_url=asked.get("webhook_url"),
        file_terms=terms,
        repeat=idempotency.repeat(asked),
    )


def _why_not(model: str, url: str) -> str | None:
    """Why the model cannot be asked here with that url; None where it can."""
    try:
        registry.require(model, settings.current())
    except BadInput as error:
        return error.message
    provider = registry.of(model)
    if provider.takes_whole_requests or (url in (MESSAGES, wire.CHAT) and provider.takes_messages):
        return None
    return f"the model {model!r} does not answer at {url!r}: GET /v1/models lists those that can be asked"
