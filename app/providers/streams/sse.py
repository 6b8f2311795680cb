"""Server-sent events as bytes: cut out of what comes, read, and written. Pure."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

LONGEST_END = 3  # bytes of an event's end that may have come already, of four
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINES = re.compile(rb"\r\n|\n|\r")


class Event(NamedTuple):
    """`raw` is the whole event as it came, with the blank line that ends it."""

    raw: bytes
    name: str | None
    data: bytes

    def json(self) -> Any:
        """The value of its data; None for what is not JSON, such as `[DONE]`, and for comments."""
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError):
            return None


class Cutter:
    """Cuts whole events out of pieces that end anywhere."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._looked_at = 0  # bytes of the rest in which no event ends

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that `piece` completes."""
        self._rest += piece
        start, whole = 0, []
        for end in _END.finditer(self._rest, self._looked_at):
            whole.append(bytes(self._rest[start : end.end()]))
            start = end.end()
        del self._rest[:start]
        self._looked_at = max(0, len(self._rest) - LONGEST_END)
        yield from map(_read, whole)


def write(name: str | None, value: Any) -> bytes:
    """An event with JSON in ASCII, which no reader splits in the wrong place."""
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def typed(name: str, **fields: Any) -> bytes:
    """An event whose value repeats its name as `type`, as those of a message and of a response do."""
    return write(name, {"type": name, **fields})


def _read(raw: bytes) -> Event:
    name, data = None, []
    for line in _LINES.split(raw):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode(errors="replace")
        elif field == b"data":
            data.append(value)
    return Event(raw, name, b"\n".join(data))
