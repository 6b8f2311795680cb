"""Chat batches: the questions of a sheet, sent conversation by conversation."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from flask import Response, request

from app.core.accounts.api_keys import ADMIN, READ, WRITE
from app.core.pipeline import lifecycle
from app.core.reading import jobs, records, table_rows
from app.core.reading.jobs import JobView
from app.core.reading.layout import Layout
from app.dialects.chats import wire
from app.dialects.chats.schemas import (
    BatchQuery,
    CancelledOut,
    CreatedOut,
    CreateIn,
    ErrorOut,
    ResultOut,
    ResultQuery,
    StatusOut,
    UploadIn,
)
from app.errors import BadInput, Conflict, NotFound
from app.ingest.draft import Defaults
from app.ingest.spool import DraftSpool
from app.ingest.values import as_line
from app.services import chat_jobs, job_actions, submission
from app.services.chat_jobs import Terms
from app.services.options import Options
from app.web import bodies, idempotency, job_lookup, openapi
from app.web.answers import answer_list
from app.web.auth import caller, needs
from app.web.blueprint import Blueprint
from app.web.capacity import enough_memory
from app.web.connection import while_connected
from app.web.errors import refused
from app.web.forms import FileForm
from app.web.large_bodies import FORM, UPLOAD, takes
from app.web.results import downloads
from app.web.results.downloads import documented
from config import settings
from models.job import Job
from models.session import reading

PREFIX = "/api/batch"
PREFIXES = (PREFIX,)
PAGE = 200  # jobs of a list that are read at once

blp = Blueprint(
    "chats",
    __name__,
    errors=ErrorOut,
    url_prefix=PREFIX,
    description=f"{openapi.OTHERS} Chat batches from a spreadsheet.",
)

SHEET = {
    "file": "chatId,question\n1,Why is the sky blue?\n1,And at night?\n2,Name a prime number.\n",
    "batchName": "questions",
    "aiProvider": "simulated",
}
_FORM = openapi.request_body((openapi.FORM, UploadIn, SHEET))
_CANCEL = {
    "requestBody": {
        "content": {
            kind: {"schema": BatchQuery}
            for kind in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
        }
    },
    "parameters": [{"in": "query", "name": "batchId", "schema": {"type": "string"}}],
}


@blp.errorhandler(BadInput)
def _refuse_input(error: BadInput) -> Response:
    return refused(error, status=400)


@blp.route("/create", methods=["POST"])
@needs(WRITE, 400, 409, 413, 415, 429, 503)
@blp.doc(requestBody=_FORM, parameters=[idempotency.DESCRIPTION])
@blp.response(202, CreatedOut)
@takes({FORM: UPLOAD})
def create_batch() -> tuple[dict[str, Any], int, dict[str, str]]:
    """Submit a sheet of questions, CSV or XLSX.

    Rows with the same `chatId` are one conversation, sent in row order; a row without a question is left out.
    If the sheet has errors, all of them are returned, and nothing is stored.
    """
    bodies.require_form(request)
    form = FileForm(request)
    asked = bodies.load(CreateIn(), form.fields())
    with DraftSpool(settings.current().data) as spool:
        with enough_memory(form.size):
            defaults, options = _read(form, asked, spool)
        options = replace(options, repeat=idempotency.repeat([form.fields(), form.sha256()]))
        me = caller()
        made = submission.submit(me.tenant_id, me.user_id, spool, defaults, options)
    view = job_lookup.find_submitted(made)
    return {"batchId": str(view.uid)}, 202, {"Location": f"{PREFIX}/status?batchId={view.uid}"}


@blp.route("/status", methods=["GET"])
@needs(READ, 400, 404)
@blp.arguments(BatchQuery, location="query", error_status_code=400)
@blp.response(200, StatusOut)
def get_status(query: Mapping[str, str]) -> dict[str, Any]:
    """Get the status of a batch."""
    return wire.write_status(_find(query["batchId"]))


@blp.route("/list", methods=["GET"])
@needs(READ, 503)
@blp.response(200, StatusOut(many=True))
def list_batches() -> Response:
    """List your own batches, newest first."""
    me = caller()
    return answer_list(map(wire.write_status, _own(me.tenant_id, me.user_id)))


@blp.route("/results", methods=["GET"])
@needs(READ, 400, 404, 410, 503)
@blp.arguments(ResultQuery, location="query", error_status_code=400)
@blp.response(200, ResultOut(many=True))
@documented(blp, "csv", "xlsx")
def get_results(query: Mapping[str, str]) -> Response:
    """Get the answers so far, in row order.

    As JSON, or with `format` csv or xlsx as the sheet itself, with the answers in additional columns.
    """
    view = job_lookup.with_content(_find(query["batchId"]))
    with reading() as session:
        columns = table_rows.columns(session, view.id)
    ended = records.ended(view, inputs=True)
    if query["format"] == "json":
        return answer_list(wire.results(view, columns, ended))
    return downloads.table(view, query["format"], Layout(columns), wire.rows(ended))


@blp.route("/cancel", methods=["POST", "DELETE"])
@needs(WRITE, 400, 404, 409, 413)
@blp.doc(**_CANCEL)
@blp.response(200, CancelledOut)
def cancel_batch() -> dict[str, Any]:
    """Cancel a batch: no new calls start; `batchId` goes in the query, a form or JSON."""
    view = _find(bodies.load(BatchQuery(), _named())["batchId"])
    if view.status.final:
        raise Conflict(f"the batch is {wire.status(view)}: it has ended and can no longer be cancelled")
    job_actions.act(caller().tenant_id, str(view.uid), lifecycle.cancel)
    return {"batchId": str(view.uid), "status": "cancelled"}


def _read(form: FileForm, asked: Mapping[str, Any], spool: DraftSpool) -> tuple[Defaults, Options]:
    """Fill `spool` with the questions of the form's sheet; raises `Refused` with every error in it."""
    me = caller()
    terms = Terms(asked["aiProvider"], asked["searchProvider"], asked["lang"], asked["applyOverrides"])
    questions = chat_jobs.read(form.format, form.stream, terms, tenant_id=me.tenant_id, user_id=me.user_id)
    for draft in while_connected(questions.drafts):
        spool.add(draft)
    questions.problems.refuse()
    name = asked["batchName"] or _plain(form.name)
    return questions.defaults, replace(questions.options(), name=name, webhook_url=asked.get("webhook_url"))


def _plain(name: str) -> str | None:
    """A file's name as the name of a job."""
    return as_line(name)[:255] or None


def _find(name: str) -> JobView:
    """The caller's own batch; with the scope `admin`, any batch of the tenant."""
    me = caller()
    unknown = NotFound(f"you have no batch {name!r}: GET {PREFIX}/list lists yours")
    try:
        with reading() as session:
            view = jobs.find(session, me.tenant_id, name)
    except NotFound:
        raise unknown from None
    if view.created_by != me.user and not me.may(ADMIN):
        raise unknown
    job_lookup.about(view.uid)
    return view


def _own(tenant_id: int, user_id: int) -> Iterator[JobView]:
    """The user's jobs, page by page; no connection or transaction is held between two pages."""
    before = None
    while True:
        with reading() as session:
            found = jobs.page(session, tenant_id, before, PAGE, Job.user_id == user_id)
        yield from found
        if len(found) < PAGE:
            return
        before = found[-1].uid


def _named() -> dict[str, Any]:
    """The fields of a cancel request, wherever they are."""
    body = bodies.read_json(request.get_data()) if request.is_json and request.get_data() else {}
    if not isinstance(body, dict):
        raise BadInput('the body is not a JSON object: give {"batchId": "…"}')
    return {**body, **request.form.to_dict(), **request.args.to_dict()}
