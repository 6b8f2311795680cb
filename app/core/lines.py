"""A record as its owner reads it: one line of JSON.

The line of an ended record is made here and nowhere else, so it is the same bytes whenever and wherever it is
read. The answer in it is the provider's own bytes: never parsed, never written anew.
"""

import datetime as dt
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.core import pricing
from app.core.pages import RecordView
from models.base import record_uid


def line(job: uuid.UUID, record: RecordView) -> bytes:
    """The record as one JSON object in one line, without its line break."""
    head = {
        "id": str(record_uid(job, record.idx)),
        "index": record.idx,
        "custom_id": text(record.custom_id),
        "status": record.status.word,
        "attempts": record.attempts,
    }
    error = {"type": record.error_type, "message": text(record.error_message)}
    tail = {
        "error": None if record.error_type is None else error,
        "usage": record.usage,
        "cost": None if record.cost is None else pricing.dollars(record.cost),
        "latency_ms": record.latency_ms,
        "started_at": timestamp(record.started_at),
        "ended_at": timestamp(record.ended_at),
    }
    answer = b"null" if record.answer is None else record.answer
    return b"".join((_json(head)[:-1], b',"response":', answer, b",", _json(tail)[1:]))


def with_list(content: Mapping[str, Any], name: str, items: Iterable[Any]) -> Iterator[bytes]:
    """The JSON object `content` with the list `name` as its last field, in pieces: it may be long."""
    yield _json({**content, name: []})[:-3]
    yield from as_list(items)
    yield b"}"


def as_list(items: Iterable[Any]) -> Iterator[bytes]:
    """A JSON list in pieces: it may be long."""
    yield b"["
    comma = b""
    for item in items:
        yield comma + _json(item)
        comma = b","
    yield b"]"


def timestamp(time: dt.datetime | None) -> str | None:
    """ISO 8601 in UTC, always of one width."""
    if time is None:
        return None
    return time.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def text(value: bytes | None) -> str | None:
    """Any text that JSON can carry, half of a surrogate pair included."""
    return None if value is None else value.decode("utf-8", "surrogatepass")


_encode = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` makes another for every call


def _json(value: Any) -> bytes:
    return _encode(value).encode()
