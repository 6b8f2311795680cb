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


def on_one_line(content: bytes) -> bytes:
    """The same JSON without the characters that some readers of lines take for the end of one.

    U+2028, U+2029 and U+0085 are legal within its strings as they are; they are written as their codes.
    """
    if content.isascii():  # which is known at once
        return content
    for character, code in _LINE_ENDS:
        content = content.replace(character, code)
    return content


_LINE_ENDS = tuple((chr(code).encode(), b"\\u%04x" % code) for code in (0x2028, 0x2029, 0x85))

encode = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` makes an encoder for every call


def _json(value: Any) -> bytes:
    return encode(value).encode()
