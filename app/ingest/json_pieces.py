"""JSON that is read in pieces: long texts at chosen places leave it before it is in memory.

What is left, with a mark in the place of each such text, is ordinary JSON and small.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

Path = tuple[str | int, ...]

# What matters outside of texts, and the longest run inside of one that holds whole escapes.
STRUCTURE = re.compile(rb'["{}\[\]:,]')
INSIDE = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
CONTROL = re.compile(rb"[\x00-\x1f]")
ESCAPED = re.compile(rb"\\(?:u.{4}|.)", re.DOTALL)
ESCAPE = 6  # bytes of the longest escape
MAX_KEY = 1_000  # bytes of a name that could be one of a place
MAX_DEPTH = 200


class Sink(Protocol):
    """Takes one text."""

    def write(self, piece: bytes) -> None:
        """The next piece of the text, in UTF-8, without escapes; of an escaped pair each half by itself."""

    def close(self) -> str:
        """The text has ended; returns the mark that stands for it."""


class Scanner:
    """Separates texts from the JSON around them.

    `open_sink` is asked for every text that is a value, by its path, and returns who takes it, or None for a
    text that stays. What is wrong with the JSON shows here, as `ValueError`, or when the rest is parsed.
    """

    def __init__(self, open_sink: Callable[[Path], Sink | None]) -> None:
        self._open_sink = open_sink
        self._path: list[str | int] = []  # of the value that comes next
        self._inside = False  # of a text
        self._sink: Sink | None = None  # that takes it
        self._key = bytearray()  # the text, as long as it may be a name
        self._pending = b""  # the beginning of an escape

    def rest_of(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The JSON without the texts that were taken."""
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
            self._deepen("")  # no name yet: a text that follows is one
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
            return "\0"  # no name of a place that anybody asks for

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
        """Hand a run of a text to its sink; returns what stays."""
        if self._sink is None:
            if len(self._key) <= MAX_KEY:
                self._key += run
            return run
        self._sink.write(_unescaped(run))
        return b""


def _unescaped(run: bytes) -> bytes:
    if CONTROL.search(run):
        raise ValueError("a text holds a control character that is not escaped")
    return run if b"\\" not in run else ESCAPED.sub(_meant, run)


def _meant(escape: re.Match[bytes]) -> bytes:
    return str(json.loads(b'"%b"' % escape[0])).encode("utf-8", "surrogatepass")


def _before_escape(text: bytes, start: int, end: int) -> int:
    """Where the part of `text` ends that no further piece can change the meaning of."""
    escape = text.rfind(b"\\", max(start, end - ESCAPE + 1), end)
    if escape < 0:
        return end
    behind = len(text[:escape]) - len(text[:escape].rstrip(b"\\"))
    begins = escape - behind % 2
    length = ESCAPE if text[begins + 1 : begins + 2] == b"u" else 2
    return end if begins + length <= end else begins
