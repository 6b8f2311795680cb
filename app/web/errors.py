"""Every error as JSON, in the shape of the path's contract, with the id of its request."""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import structlog
from flask import Flask, Response, g, jsonify, request
from marshmallow import Schema, ValidationError, fields
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from app.core.monitoring.bounded import Bounded
from app.core.outages import database, servers
from app.errors import BadInput, NotFound, Path, Refused
from app.ingest.draft import Problems
from app.web.error_shapes import ANTHROPIC_VERSION, Fault, anthropic, by_client, native
from app.web.observing import route_name
from models.session import engine

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TRACE = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C's `traceparent`
_TYPES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
}

# Official SDKs send these again by themselves, waiting for a minute at most.
_SENT_AGAIN = frozenset({409, 429})
_LONGEST_WAIT = 60  # seconds

# In the environ: what the server's line about the request names besides what the server knows.
ACCESS = "penstock.access"

Written = Callable[[Fault], Mapping[str, Any] | Response]

# How each contract writes its errors, by its path prefix; the longest prefix of whole segments wins.
SHAPES: dict[str, Written] = {"/": native, "/v1": by_client}


class ErrorBody(Schema):
    """The content of an error."""

    type = fields.String(required=True, metadata={"example": "invalid_request"})
    message = fields.String(
        required=True, metadata={"description": "What was requested, what was found, and what to do."}
    )
    details = fields.Dict(
        required=True,
        metadata={"description": "`problems`, each with `where` and `message`, for invalid input."},
    )
    request_id = fields.String(
        required=True, metadata={"description": "The same as in the header X-Request-Id."}
    )


class ErrorOut(Schema):
    """Every error."""

    error = fields.Nested(ErrorBody, required=True)


def register(app: Flask) -> None:
    """Give every request an id and every error of `app` its contract's shape."""
    app.before_request(_name_request)
    app.before_request(_refuse_nul)
    app.after_request(_add_headers)
    app.teardown_request(lambda _error: structlog.contextvars.clear_contextvars())
    app.register_error_handler(Refused, refused)
    app.register_error_handler(HTTPException, _http)
    for error in (OperationalError, InterfaceError, PoolTimeout, ProgrammingError):
        app.register_error_handler(error, _database_failed)
    app.register_error_handler(Exception, _unexpected)


def shape_for(path: str, shapes: Mapping[str, Written]) -> Written:
    """The shape of the longest prefix of `path` in whole segments."""
    segments = [segment for segment in path.split("/") if segment]
    for length in range(len(segments), -1, -1):
        shape = shapes.get("/" + "/".join(segments[:length]))
        if shape is not None:
            return shape
    raise LookupError("there is no shape for '/'")


def refuse_invalid(error: ValidationError, location: str = "body") -> NoReturn:
    """Raise `BadInput` naming every invalid field. `location`: `body` or `query`."""
    problems = Problems()
    for path, message in _flat(error.messages_dict):
        problems.add(_place(path), message, (location, *path))
    problems.refuse()
    raise AssertionError("unreachable: an error without messages")


def _flat(messages: Mapping[Any, Any], inside: Path = ()) -> Iterator[tuple[Path, str]]:
    for name, found in messages.items():
        path = inside if name == "_schema" else (*inside, name)
        if isinstance(found, Mapping):
            yield from _flat(found, path)
            continue
        for message in found:
            yield path, str(message)


def _place(path: Path) -> str:
    """A path in the usual notation: `records[2].prompt`."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return steps.removeprefix(".") or "body"


def _name_request() -> None:
    asked = request.headers.get("X-Request-Id", "")
    g.request_id = asked if _REQUEST_ID.fullmatch(asked) else f"req_{uuid.uuid4().hex}"
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    if trace := _TRACE.fullmatch(request.headers.get("traceparent", "")):
        structlog.contextvars.bind_contextvars(trace_id=trace[1])


def _refuse_nul() -> None:
    """No path has NUL, no query has a use for it, and PostgreSQL refuses it in every text."""
    if "\0" in request.path:
        raise NotFound("there is nothing at this path: it contains NUL (%00), which no path here does")
    problems = Problems()
    for name, text in request.args.items(multi=True):
        if "\0" in name + text:
            problems.add(name, "it contains NUL (%00): remove it", ("query", name))
    problems.refuse()


def _name_for_access_log() -> None:
    request.environ[ACCESS] = {"route": route_name(), **structlog.contextvars.get_contextvars()}


def _add_headers(response: Response) -> Response:
    _name_for_access_log()
    response.headers["X-Request-Id"] = response.headers["Request-Id"] = g.request_id
    _name_organisation(response)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _name_organisation(response: Response) -> None:
    """Whose answer it is, as clients of Anthropic's API log it: a tenant has one workspace, itself."""
    if "caller" in g and _is_of_anthropic():
        for kind in ("organization", "workspace"):
            response.headers[f"anthropic-{kind}-id"] = str(g.caller.tenant_uid)


def _is_of_anthropic() -> bool:
    shape = shape_for(request.path, SHAPES)
    return shape is anthropic or (shape is by_client and ANTHROPIC_VERSION in request.headers)


def refused(error: Refused, status: int | None = None) -> Response:
    """The response to a refusal; `status` overrides it for a contract that uses another one."""
    paths = error.paths if isinstance(error, BadInput) else ()
    response = _response(
        status or error.status, error.type, error.message, details=error.details, paths=paths
    )
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if _is_useless_to_repeat(response.status_code, error.retry_after):
        response.headers["X-Should-Retry"] = "false"
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="penstock"'
    return response


def _is_useless_to_repeat(status: int, retry_after: int | None) -> bool:
    """Whether a client that knows no better would send a request again in vain."""
    return status in _SENT_AGAIN and (retry_after is None or retry_after > _LONGEST_WAIT)


def refused_as_400(error: BadInput) -> Response:
    """The response to invalid content in contracts that have no 422."""
    return refused(error, status=400)


def _http(error: HTTPException) -> Response:
    if error.response is not None:  # such as a redirect
        return error.response  # type: ignore[return-value]
    status = error.code or 500
    response = _response(status, _TYPES.get(status, "error"), _sentence(error))
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response


def _sentence(error: HTTPException) -> str:
    if error.code == 404:
        return f"there is nothing at {request.path}: see GET /docs for what exists"
    if error.code == 405:
        return f"{request.path} does not support {request.method}: see the Allow header"
    return error.description or error.name


def _database_failed(error: Exception) -> Response:
    """It does not answer, it lacks our tables, or one of our statements is wrong."""
    why = _not_migrated()
    if why is not None:
        database.NOT_MIGRATED.noticed("request", servers.kind(error), why)
        return _unavailable(why)
    if isinstance(error, ProgrammingError):
        return _unexpected(error)
    servers.tell(error, "request")
    return _unavailable("the database is not responding properly: try again shortly")


def _unavailable(message: str) -> Response:
    response = _response(503, "unavailable", message)
    response.headers["Retry-After"] = "5"
    return response


def _not_migrated() -> str | None:
    """Why the database is not at our revision; None where it is, or cannot say."""
    try:
        return _REVISION.get()
    except Exception:  # it does not answer, which is told anyway
        return None


def _why_not_current() -> str | None:
    from models import migrate  # Alembic: not needed at startup

    return migrate.why_not_current(engine())


# Of requests that fail at the same time, one looks.
_REVISION = Bounded(_why_not_current, patience=3.0)


def _unexpected(error: Exception) -> Response:
    error_id = uuid.uuid4().hex  # a request id may be chosen by the caller, and be reused
    log.error("unexpected_error", error_id=error_id, exc_info=error)
    message = f"an unexpected error in Penstock itself; the log has it under the request id {g.request_id}"
    return _response(500, "internal_error", message, error_id=error_id)


def _response(status: int, type: str, message: str, **more: Any) -> Response:
    of_anthropic = ANTHROPIC_VERSION in request.headers
    fault = Fault(status, type, message, g.request_id, of_anthropic=of_anthropic, **more)
    shaped = shape_for(request.path, SHAPES)(fault)
    if isinstance(shaped, Response):
        return shaped
    response = jsonify(shaped)
    response.status_code = status
    return response
