"""What the server refuses by itself, where there is no request yet that the application could answer.

The body is one that clients of every contract here can read.
"""

import json
import uuid
from http import HTTPStatus

from gunicorn import util
from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)

from app.core.measures import metrics
from app.core.measures.counts import counts
from app.server.outlet import Outlet

LONGEST = 200  # characters of what is wrong with a request, in the log

FULL = HTTPStatus.SERVICE_UNAVAILABLE, "the server's disk is full: try again later"
OURS = (
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "an unexpected error in Penstock itself: the log has it under this request's id",
)
INVALID = HTTPStatus.BAD_REQUEST, "the request is not valid HTTP/1.1 ({})"
REFUSALS: dict[type[Exception], tuple[HTTPStatus, str]] = {
    LimitRequestLine: (HTTPStatus.REQUEST_URI_TOO_LONG, "the address is too long ({}): send a shorter one"),
    LimitRequestHeaders: (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "the headers are too large ({}): send fewer or shorter ones",
    ),
    ExpectationFailed: (HTTPStatus.EXPECTATION_FAILED, "{}: leave out `Expect`, or send `100-continue`"),
    UnsupportedTransferCoding: (HTTPStatus.NOT_IMPLEMENTED, "{}: send the body plain or as `chunked`"),
}
TYPES = {HTTPStatus.REQUEST_TIMEOUT: "timeout_error"}  # other errors are the request's, or from 500 on ours


def of(error: Exception) -> tuple[HTTPStatus, str] | None:
    """The status and sentence for a request that cannot be read; None for a fault of the server."""
    if not isinstance(error, ParseException) or isinstance(error, _OURS):
        return None
    status, sentence = REFUSALS.get(type(error), INVALID)
    return status, sentence.format(error)


def new_request_id() -> str:
    return f"req_{uuid.uuid4().hex}"


def reason(error: Exception) -> str:
    """What the log says of it: of the address that it may quote not what follows a `?`."""
    return str(error).partition("?")[0][:LONGEST]


def write(sock: Outlet, status: HTTPStatus, message: str, request_id: str) -> None:
    """Send the refusal, as far as the client takes it at once; the connection is over with it."""
    # It took no time: nothing of it was begun.
    counts.observe(metrics.HTTP_SECONDS, 0.0, metrics.NO_ROUTE, metrics.NO_ROUTE, str(status.value))
    kind = TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    told = {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
    body = json.dumps(told).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nRequest-Id: {request_id}\r\nX-Request-Id: {request_id}\r\n\r\n"
    )
    util.write_nonblock(sock, head.encode() + body)


_OURS = (InvalidResponseHeader, InvalidResponseHeaderName)
