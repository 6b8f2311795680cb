"""Request bodies, parsed strictly: JSON extensions that Python accepts are rejected.

So are unknown names, except in contracts that ignore them and name them in the response.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

import marshmallow as ma
from flask import Request, Response, after_this_request, g, request
from marshmallow import fields, validate
from webargs.flaskparser import is_json_request
from werkzeug.exceptions import RequestEntityTooLarge

from app.errors import BadInput, TooLarge, UnknownForm
from app.ingest.streams import codings
from app.ingest.values import from_json, kind_of
from app.web import capacity
from app.web.errors import refuse_invalid
from config import settings

PIECE = 256_000  # bytes that are read at once
IGNORED = "Penstock-Ignored"  # the response header that names the fields that were ignored
NAMED, LONGEST = 20, 100  # fields that it names, and characters of each


@contextmanager
def json_body() -> Iterator[Any]:
    """The value in the request's body, which may be as large as a submission, and compressed.

    A large one holds one of the few places for large content until the end of the block. Raises `Refused`.
    """
    require_json(request)
    limit = settings.current().max_json_bytes
    decode(limit)
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


def decode(most: int) -> None:
    """Let `most` bytes of the request's body be read, which is decoded on the way if it has a coding."""
    request.max_content_length = most
    coding = request.headers.get("Content-Encoding")
    if coding is None:
        return
    pieces = iter(partial(request.stream.read, PIECE), b"")
    request.environ["wsgi.input"] = _Decoded(codings.decoded(pieces, coding, most))
    request.environ["wsgi.input_terminated"] = True  # its length shows when it has been read
    request.environ.pop("CONTENT_LENGTH", None)
    del request.stream  # the one as it came, which the request remembers


class _Decoded(io.RawIOBase):
    """A stream of pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        into = memoryview(buffer)
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        size = min(len(into), len(self._rest))
        into[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def load(schema: ma.Schema, value: Any) -> Any:
    """`value` as parsed by `schema`; raises `BadInput` naming every invalid field."""
    if not isinstance(value, Mapping):
        message = f"give a JSON object; found {kind_of(value)}"
        raise BadInput(f"body: {message}", [{"where": "body", "message": message}], paths=[("body",)])
    try:
        return schema.load(value)
    except ma.ValidationError as error:
        refuse_invalid(error)


def known(schema: ma.Schema, value: Any) -> Any:
    """`value` without the fields that `schema` does not know, at any depth; the response names those."""
    return _known(schema, value, "")


def ignore(paths: Iterable[str]) -> None:
    """Make the response, also an error, name fields that have no effect, such as `requests[].colour`."""
    for path in paths:
        if "ignored" not in g:
            g.ignored = {}  # in the order in which they were found
            after_this_request(_name_ignored)
        if len(g.ignored) > NAMED:
            return
        g.ignored[_plain(path)] = None


def read_json(body: bytes) -> Any:
    """The value of a request's body, which may begin with a byte order mark; raises `BadInput`."""
    if not body:
        raise BadInput("the body is empty: send JSON")
    try:
        return from_json(body.decode("utf-8-sig"))
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


def _known(schema: ma.Schema, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        return value
    parts = {field.data_key or name: field for name, field in schema.load_fields.items()}
    ignore(where + name for name in value if name not in parts)
    return {name: _part(parts[name], part, where + name) for name, part in value.items() if name in parts}


def _part(field: fields.Field[Any], value: Any, path: str) -> Any:
    match field:
        case fields.Nested():
            return _known(field.schema, value, f"{path}.")
        case fields.List(inner=fields.Nested() as inner) if isinstance(value, list):
            return (
                [_known(inner.schema, one, f"{path}[].") for one in value] if _fits(field, value) else value
            )
    return value


def _fits(field: fields.Field[Any], value: list[Any]) -> bool:
    """Whether a list has no more items than allowed. One with more is refused, and not looked through."""
    bounds = (one.max for one in field.validators if isinstance(one, validate.Length))
    return all(most is None or len(value) <= most for most in bounds)


def _plain(path: str) -> str:
    """A field as the header names it: short, and with all that a header cannot hold percent-encoded."""
    text = quote(path[: LONGEST + 1], safe="[].?", errors="replace")
    return text if len(text) <= LONGEST else re.sub(r"%.?$", "", text[: LONGEST - 3]) + "..."


def _name_ignored(response: Response) -> Response:
    names = list(g.ignored)
    response.headers[IGNORED] = ", ".join(names[:NAMED] + ["..."] * (len(names) > NAMED))
    return response
