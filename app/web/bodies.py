"""Request bodies, parsed strictly: unknown names, and JSON extensions that Python accepts, are rejected."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import marshmallow as ma
from flask import Request, request
from webargs.flaskparser import is_json_request
from werkzeug.exceptions import RequestEntityTooLarge

from app.errors import BadInput, TooLarge, UnknownForm
from app.ingest.values import from_json
from app.web import capacity
from app.web.errors import refuse_invalid
from config import settings

PIECE = 256_000  # bytes that are read at once


@contextmanager
def json_body() -> Iterator[Any]:
    """The value in the request's body, which may be as large as a submission.

    A large one holds one of the few places for large content until the end of the block. Raises `Refused`.
    """
    require_json(request)
    limit = settings.current().max_json_bytes
    request.max_content_length = limit
    with capacity.memory() as memory:
        try:
            memory.hold(request.content_length or 0)
            body = bytearray()
            while piece := request.stream.read(PIECE):
                body += piece
                memory.hold(len(body))
        except RequestEntityTooLarge:
            raise TooLarge(f"the JSON has over {limit:,} bytes (MAX_JSON_BYTES): send less at once") from None
        yield read_json(bytes(body))


def load(schema: ma.Schema, value: Any) -> Any:
    """`value` as parsed by `schema`; raises `BadInput` naming every invalid field."""
    try:
        return schema.load(value)
    except ma.ValidationError as error:
        refuse_invalid(error)


def read_json(body: bytes) -> Any:
    """The value of a request's body; raises `BadInput`."""
    try:
        return from_json(body.decode())
    except UnicodeDecodeError as error:
        raise BadInput(f"the body is not UTF-8: see byte {error.start + 1}") from None
    except ValueError as error:
        raise BadInput(f"the body is not JSON: {error}") from None


def require_json(req: Request) -> None:
    """Raise `UnknownForm` unless the request's content type is JSON."""
    if not is_json_request(req):
        raise not_json(req)


def not_json(req: Request) -> UnknownForm:
    return UnknownForm(f"send JSON as application/json; found {req.mimetype or 'no content type'}")


def require_form(req: Request) -> None:
    """Raise `UnknownForm` unless the request's content type is a form with a file."""
    if req.mimetype != "multipart/form-data":
        raise UnknownForm(
            "send multipart/form-data, with the file as the part named `file`; found"
            f" {req.mimetype or 'no content type'}"
        )
