"""JSON bodies with documents in them: each document goes to the store while the body is being read."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from app.core.documents.upload import Upload
from app.errors import BadInput, TooLarge
from app.ingest.json_pieces import Path, Scanner
from app.web import bodies, capacity
from config import settings

PIECE = 256_000  # bytes of a body that are read at once


@contextmanager
def body(upload: Upload, is_document: Callable[[Path], bool]) -> Iterator[Any]:
    """The value in the request's body, as parsed by `read`. Raises `Refused`."""
    bodies.require_json(request)
    limit = settings.current().max_request_bytes
    request.max_content_length = limit
    with capacity.memory() as memory:
        try:
            pieces = iter(partial(request.stream.read, PIECE), b"")
            left = _without_documents(pieces, upload, is_document, memory.hold)
        except RequestEntityTooLarge:
            raise too_large(limit) from None
        yield _value(left)


def read(pieces: Iterable[bytes], upload: Upload, is_document: Callable[[Path], bool]) -> Any:
    """The value of a body that arrives in pieces.

    Strings at paths that `is_document` accepts are treated as base64 documents, which `upload` stores; in the
    value each is replaced by a marker for `upload.fill`. Raises `Refused`. The caller has taken the memory.
    """
    return _value(_without_documents(pieces, upload, is_document, lambda size: None))


def too_large(limit: int) -> TooLarge:
    return TooLarge(f"the request has over {limit:,} bytes (MAX_REQUEST_BYTES): send fewer documents at once")


def _without_documents(
    pieces: Iterable[bytes],
    upload: Upload,
    is_document: Callable[[Path], bool],
    hold: Callable[[int], None],
) -> bytes:
    """The JSON besides its documents; `hold` is told its size as it grows."""
    limit = settings.current().max_json_bytes
    scanner = Scanner(lambda path: upload.open() if is_document(path) else None)
    left = bytearray()
    try:
        for part in scanner.rest_of(_counted(pieces, upload)):
            left += part
            hold(len(left))
            if len(left) > limit:
                raise TooLarge(
                    f"the JSON has over {limit:,} bytes besides its documents (MAX_JSON_BYTES): send less at"
                    " once"
                )
    except ValueError as error:
        raise BadInput(f"the body is not JSON: {error}") from None
    return bytes(left)


def _counted(pieces: Iterable[bytes], upload: Upload) -> Iterator[bytes]:
    for piece in pieces:
        upload.receive(len(piece))
        yield piece


def _value(left: bytes) -> Any:
    try:
        return bodies.read_json(left)
    except BadInput as error:
        raise BadInput(f"{error.message}, not counting the content of its documents") from None
