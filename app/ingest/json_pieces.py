"""JSON that is read in pieces: long strings at chosen paths are extracted before they are in memory.

The rest, with a marker in place of each such string, is ordinary JSON and small.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

Path = tuple[str | int, ...]

# The significant characters outside of strings, and the longest run inside of one with whole escapes.
STRUCTURE = re.compile(rb'["{}\[\]:,]')
INSIDE = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
CONTROL = re.compile(rb"[\x00-\x1f]")
ESCAPED = re.compile(rb"\\(?:u.{4}|.)", re.DOTALL)
ESCAPE = 6  # bytes of the longest escape
MAX_KEY = 1_000  # bytes of a name that could be in a path
MAX_DEPTH = 200


class Sink(Protocol):
    """Receives one string."""

    def write(self, piece: bytes) -> None:
        """The next piece of the string, in UTF-8, unescaped; each half of a surrogate pair by itself."""

    def close(self) -> str:
        """The end of the string; returns the marker that replaces it."""


class Scanner:
    """Separates strings from the JSON around them.

    `open_sink` is called with the path of every string that is a value, and returns its receiver, or None for
    a string that stays. Invalid JSON is reported here, as `ValueError`, or when the rest is parsed.
    """

    def __init__(self, open_sink: Callable[[Path], Sink | None]) -> None:
        self._open_sink = open_sink
        self._path: list[str | int] = []  # of the next value
        self._inside = False  # of a string
        self._sink: Sink | None = None  # its receiver
        self._key = bytearray()  # the string, as long as it may be a name
        self._pending = b""  # the beginning of an escape

    def rest_of(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The JSON without the extracted strings."""
        for piece in pieces:
            text, self._pending = self._pending + piece, b""
            position = 0
            while position < len(text):
                read = self._text if self._inside else self._structure
                position, left = read(text, position)
                yield left

    def _structure(self, text: bytes, position: int) -> tuple[int, bytes]:
        found = STRUCTURE.search(text, position)
        if found is None:
            return len(text), text[position:]
        self._enter(found[0])
        return found.end(), text[position : found.end() - (self._sink is not None)]

    def _enter(self, token: bytes) -> None:
        path = self._path
        if token == b'"':
            self._inside = True
            self._key.clear()
            self._sink = self._open_sink(tuple(path)) if path and path[-1] != "" else None
        elif token == b"{":
            self._deepen("")  # no name yet: the next string is one
        elif token == b"[":
            self._deepen(0)
        elif token in b"}]":
            del path[-1:]
        elif token == b":" and path:
            path[-1] = self._name()
        elif path:
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else ""

    def _deepen(self, step: str | int) -> None:
        if len(self._path) >= MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        self._path.append(step)

    def _name(self) -> str:
        try:
            return str(json.loads(b'"%b"' % bytes(self._key)))
        except ValueError:
            return "\0"  # not a name in any requested path

    def _text(self, text: bytes, position: int) -> tuple[int, bytes]:
        run = INSIDE.match(text, position)
        assert run is not None
        end = run.end()
        if end == len(text) or text[end : end + 1] == b"\\":
            end = _before_escape(text, position, end)
            self._pending = text[end:]
            return len(text), self._take(text[position:end])
        self._inside = False
        left = self._take(text[position:end])
        if self._sink is None:
            return end + 1, left + b'"'
        mark, self._sink = self._sink.close(), None
        return end + 1, b'"%b"' % mark.encode()

    def _take(self, run: bytes) -> bytes:
        """Pass a run of a string to its sink; returns what stays."""
        if self._sink is None:
            if len(self._key) <= MAX_KEY:
                self._key += run
            return run
        self._sink.write(_unescaped(run))
        return b""


def _unescaped(run: bytes) -> bytes:
    if CONTROL.search(run):
        raise ValueError("a string contains an unescaped control character")
    return run if b"\\" not in run else ESCAPED.sub(_meant, run)


def _meant(escape: re.Match[bytes]) -> bytes:
    return str(json.loads(b'"%b"' % escape[0])).encode("utf-8", "surrogatepass")


def _before_escape(text: bytes, start: int, end: int) -> int:
    """The end of the part of `text` whose meaning no further piece can change."""
    escape = text.rfind(b"\\", max(start, end - ESCAPE + 1), end)
    if escape < 0:
        return end
    behind = len(text[:escape]) - len(text[:escape].rstrip(b"\\"))
    begins = escape - behind % 2
    length = ESCAPE if text[begins + 1 : begins + 2] == b"u" else 2
    return end if begins + length <= end else begins
