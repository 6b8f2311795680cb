"""JSON as text: helpers shared by all writers of responses."""

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def with_list(content: Mapping[str, Any], name: str, items: Iterable[Any]) -> Iterator[bytes]:
    """The JSON object `content` with the list `name` as its last field, in pieces, as it may be long."""
    yield _json({**content, name: []})[:-3]
    yield from as_list(items)
    yield b"}"


def as_list(items: Iterable[Any]) -> Iterator[bytes]:
    """A JSON list in pieces, as it may be long."""
    yield b"["
    comma = b""
    for item in items:
        yield comma + _json(item)
        comma = b","
    yield b"]"


def timestamp(time: dt.datetime | None) -> str | None:
    """ISO 8601 in UTC, always of the same width."""
    if time is None:
        return None
    return time.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def text(value: bytes | None) -> str | None:
    """Any text that JSON can carry, lone surrogates included."""
    return None if value is None else value.decode("utf-8", "surrogatepass")


encode = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` makes an encoder for every call


def _json(value: Any) -> bytes:
    return encode(value).encode()
