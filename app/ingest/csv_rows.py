"""The rows of a CSV file. Its encoding and its separator are found in its bytes, never asked for."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import BinaryIO, Self

from app.errors import BadInput

SEPARATORS = ",;\t|"  # of two that the header holds equally often, the first
MAX_ROW_CHARACTERS = 32_000_000
MAX_ROW_SEPARATORS = 2_000_000  # in its cells, too: `csv` makes a row in one go, in which nothing else runs
HEAD = 1_000_000

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, with whose mark it begins
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
QUOTED = re.compile(r'(?<![^,;\t|\r\n])"(?:[^"]|"")*(?:"|$)')
# Words of another alphabet, looked at as Western European: six accented letters in a row.
NOT_WESTERN = re.compile(rb"[\xa1-\xff]{6}")


def read_rows(stream: BinaryIO) -> Iterator[list[str]]:
    """The rows of a seekable `stream`, the header first; a blank line is a row without cells.

    Raises `BadInput` for what is no CSV; it names the row as a spreadsheet counts, the header being row 1.
    """
    encoding = _find_encoding(stream)
    stream.seek(0)
    text = io.TextIOWrapper(stream, encoding, newline="")
    try:
        yield from _rows(text)
    finally:
        if not stream.closed:
            text.detach()


def _find_encoding(stream: BinaryIO) -> str:
    """By the mark at the beginning; else UTF-8 if all of it is, else cp1252 if it looks Western European.

    The whole stream is tried, so what follows needs no care. Raises `BadInput` that names the line.
    """
    marked = _marked(stream)
    fault = _find_fault(stream, marked or "utf-8")
    if fault is None:
        return marked or "utf-8"
    if marked or not fault.after_ascii:
        raise fault.refusal(marked or "utf-8")
    if NOT_WESTERN.search(fault.rest):
        raise BadInput("the file is not UTF-8 and not Western European text: save it as UTF-8")
    if fault := _find_fault(stream, "cp1252"):
        raise fault.refusal("utf-8")
    return "cp1252"


def _marked(stream: BinaryIO) -> str | None:
    stream.seek(0)
    head = stream.read(4)
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding
    if len(head) < 2 or (head[0] == 0) == (head[1] == 0):
        return None
    return "utf-16-be" if head[0] == 0 else "utf-16-le"


@dataclass
class _Fault:
    """The first byte that an encoding does not know."""

    line: int
    rest: bytes  # from that byte on, up to a million
    after_ascii: bool  # what is before it may be of any encoding

    def refusal(self, encoding: str) -> BadInput:
        byte = f"0x{self.rest[0]:02x}"
        return BadInput(f"line {self.line}: byte {byte} is not {encoding.upper()}: save the file as UTF-8")


def _find_fault(stream: BinaryIO, encoding: str) -> _Fault | None:
    decoder = codecs.getincrementaldecoder(encoding)()
    line, is_ascii = 1, True
    stream.seek(0)
    piece = b"-"
    while piece:
        piece = stream.read(HEAD)
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            before, rest = error.object[: error.start], error.object[error.start :]
            return _Fault(line + before.count(b"\n"), rest, is_ascii and before.isascii())
        line += text.count("\n")
        is_ascii = is_ascii and text.isascii()
    return None


def _rows(text: io.TextIOWrapper) -> Iterator[list[str]]:
    separator = _find_separator(text.read(HEAD))
    text.seek(0)
    lines = _Lines(text, separator)
    _lift_field_limit()
    reader = csv.reader(lines, delimiter=separator, strict=True)
    for number in count(1):
        lines.start(number)
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise BadInput(f"row {number}: not CSV: {_told(error)}") from None
        if row is None:
            return
        yield row


def _find_separator(head: str) -> str:
    header = re.split(r"[\r\n]", QUOTED.sub("", head), maxsplit=1)[0]
    return max(SEPARATORS, key=header.count)


class _Lines:
    """The lines of a text for `csv.reader`, with a bound on what one row may take."""

    def __init__(self, text: io.TextIOWrapper, separator: str) -> None:
        self._text = text
        self._separator = separator

    def start(self, row: int) -> None:
        self._row = row
        self._room = MAX_ROW_CHARACTERS
        self._separators = MAX_ROW_SEPARATORS

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._room + 1)
        if not line:
            raise StopIteration
        self._room -= len(line)
        if self._room < 0:
            raise BadInput(
                f"row {self._row}: it has over {MAX_ROW_CHARACTERS:,} characters, the limit of a row; "
                "perhaps a quotation mark is never closed"
            )
        self._separators -= line.count(self._separator)
        if self._separators < 0:
            raise BadInput(f"row {self._row}: it has over {MAX_ROW_SEPARATORS:,} separators")
        return line


def _lift_field_limit() -> None:
    """The limit is one for the whole process, so it is only ever raised; rows are bounded by `_Lines`."""
    if csv.field_size_limit() < MAX_ROW_CHARACTERS:
        csv.field_size_limit(MAX_ROW_CHARACTERS)


def _told(error: csv.Error) -> str:
    told = str(error)
    return "a quotation mark is never closed" if told == "unexpected end of data" else told
