"""What every wire contract is made of: bodies read strictly, one job found, answers written."""

import hashlib
import http
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, NoReturn

import marshmallow as ma
import structlog
from flask import Flask, Request, Response, g, jsonify, request
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import fields
from webargs import core
from webargs.flaskparser import FlaskParser, is_json_request
from werkzeug.exceptions import RequestEntityTooLarge

from app.core.json_text import as_list, timestamp, with_list
from app.core.reading import jobs
from app.core.reading.jobs import JobView
from app.errors import BadInput, Gone, TooLarge, UnknownForm
from app.ingest.documents import identity
from app.ingest.values import from_json
from app.services.submission import Repeat
from app.web import capacity, idempotency
from app.web.auth import caller
from app.web.errors import refuse_invalid
from config import settings
from models.session import reading

JOB = "Penstock-Job"  # the header that names the job that an answer is about
AT_ONCE = 1_000  # items of a list that is written in one piece; a longer one is streamed


class Parser(FlaskParser):
    """Refuses unknown names everywhere, and JSON that Python alone would take."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": ma.RAISE, "query": ma.RAISE}  # noqa: RUF012 - webargs' own

    def _raw_load_json(self, req: Request) -> Any:
        if is_json_request(req):
            return read_json(req.get_data())
        if req.get_data():
            raise _no_json(req)
        return core.missing

    def handle_error(self, error: ma.ValidationError, *_: Any, **__: Any) -> NoReturn:
        # The first level names where the arguments stood: `query` or `json`.
        for location, messages in error.messages_dict.items():
            inner = messages if isinstance(messages, Mapping) else {"_schema": messages}
            refuse_invalid(ma.ValidationError(dict(inner)), "body" if location == "json" else location)
        raise AssertionError("unreachable: an error without messages")


class Blueprint(SmorestBlueprint):
    """The routes of one contract, under a tag of their own in the OpenAPI document.

    `errors` is the schema of its errors, where it is not the native one.
    """

    ARGUMENTS_PARSER = Parser()

    def __init__(self, *names: str, errors: type[ma.Schema] | None = None, **options: Any) -> None:
        super().__init__(*names, **options)
        self._errors = errors
        self._prepare_doc_cbks.append(self._document_errors)

    def _document_errors(self, doc: dict[str, Any], info: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Show refusals, which `needs` and `arguments` name by a word, in the shape of this contract."""
        responses = doc.get("responses", {}), info.get("manual_doc", {}).get("responses", {})
        for some in responses if self._errors else ():
            for status, response in some.items():
                if isinstance(response, str):
                    content = {"application/json": {"schema": self._errors}}
                    known = str(status).isdigit()  # or `default`
                    phrase = http.HTTPStatus(int(status)).phrase if known else "Any other error"
                    some[status] = {"description": phrase, "content": content}
        return doc


class WebhookUrl(fields.Raw):
    def __init__(self) -> None:
        super().__init__(
            allow_none=True,
            validate=_no_webhooks,
            metadata={"type": "string", "description": "Not available in this version."},
        )


def repeat(content: Any) -> Repeat | None:
    """What finds this submission again when it is sent again.

    `content` is what it asks, of JSON's kinds and with documents that were received.
    """
    sending = idempotency.sending(request.headers)
    if sending is None:
        return None
    asked = json.dumps([request.path, content], sort_keys=True, default=identity)
    return sending.repeat(hashlib.sha256(asked.encode()).digest())


def register(app: Flask) -> None:
    """Let every answer about a job name it."""
    app.after_request(_name_job)


def find_job(name: str) -> JobView:
    """The caller's job of that id or label, whichever contract made it; the answer will name it."""
    with reading() as session:
        view = jobs.find(session, caller().tenant_id, name)
    about(view.uid)
    return view


def with_content(view: JobView) -> JobView:
    """The job, or `Gone` when its inputs and outputs were deleted."""
    if view.content_removed_at is not None:
        when = timestamp(view.content_removed_at)
        raise Gone(f"the content of job {view.uid} was deleted on {when}; its counts and cost stay")
    return view


def about(job: uuid.UUID) -> None:
    """Let the answer, and what is logged from now on, name the job."""
    g.job_uid = job
    structlog.contextvars.bind_contextvars(job=str(job))


@contextmanager
def json_body() -> Iterator[Any]:
    """The value in the request's body, which may be as large as a submission.

    A large one holds one of the few places for large content until the end of the block. Raises `Refused`.
    """
    require_json(request)
    limit = settings.current().max_json_bytes
    request.max_content_length = limit
    try:
        body = request.get_data()
    except RequestEntityTooLarge:
        raise TooLarge(f"the JSON has over {limit:,} bytes (MAX_JSON_BYTES): send less at a time") from None
    with capacity.enough_memory(len(body)):
        yield read_json(body)


def load(schema: ma.Schema, value: Any) -> Any:
    """`value` as `schema` reads it; raises `BadInput` that names every field with a fault."""
    try:
        return schema.load(value)
    except ma.ValidationError as error:
        refuse_invalid(error)


def read_json(body: bytes) -> Any:
    """The value that a request's body holds; raises `BadInput`."""
    try:
        return from_json(body.decode())
    except UnicodeDecodeError as error:
        raise BadInput(f"the body is not UTF-8: see byte {error.start + 1}") from None
    except ValueError as error:
        raise BadInput(f"the body is not JSON: {error}") from None


def answer(content: Mapping[str, Any], status: int = 200, **headers: str) -> Response:
    """A JSON response; an underscore in a header's name stands for a dash."""
    response = jsonify(content)
    response.status_code = status
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def answer_with(
    content: Mapping[str, Any], name: str, items: Iterable[Any], count: int, status: int = 200
) -> Response:
    """`content` with a list `name` as its last field, of `count` items at most; a long one is streamed."""
    if count <= AT_ONCE:
        return answer({**content, name: list(items)}, status)
    response = capacity.stream(with_list(content, name, items), "application/json", {})
    response.status_code = status
    return response


def answer_list(items: Iterable[Any]) -> Response:
    """A list by itself; a long one is streamed."""
    rest = iter(items)
    first = list(islice(rest, AT_ONCE))
    if len(first) < AT_ONCE:
        return Response(b"".join(as_list(first)), mimetype="application/json")
    return capacity.stream(as_list(chain(first, rest)), "application/json", {})


def _name_job(response: Response) -> Response:
    if "job_uid" in g:
        response.headers[JOB] = str(g.job_uid)
    return response


def require_json(req: Request) -> None:
    """Raise `UnknownForm` unless the request says that it brings JSON."""
    if not is_json_request(req):
        raise _no_json(req)


def _no_json(req: Request) -> UnknownForm:
    return UnknownForm(f"send JSON as application/json; found {req.mimetype or 'no content type'}")


def require_form(req: Request) -> None:
    """Raise `UnknownForm` unless the request says that it brings a form with a file."""
    if req.mimetype != "multipart/form-data":
        raise UnknownForm(
            "send multipart/form-data, the file as its part named `file`;"
            f" found {req.mimetype or 'no content type'}"
        )


def _no_webhooks(_: object) -> None:
    raise ma.ValidationError("webhooks are not available in this version: leave it out")
