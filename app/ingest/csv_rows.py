"""The rows of a CSV file. Its encoding and separator are detected, never configured."""

import csv
import io
import re
from collections.abc import Iterator
from itertools import count
from typing import BinaryIO, Self

from app.errors import BadInput
from app.ingest.encodings import HEAD, find_encoding

SEPARATORS = ",;\t|"  # the first of two that occur equally often in the header
MAX_ROW_CHARACTERS = 32_000_000
MAX_ROW_SEPARATORS = 2_000_000  # in its cells, too: `csv` builds a row in one go, blocking everything else

# Possessive, because each step of a repetition that may be taken back is kept in memory.
QUOTED = re.compile(r'(?<![^,;\t|\r\n])"[^"]*+(?:""[^"]*+)*+(?:"|$)')


def read_rows(stream: BinaryIO) -> Iterator[list[str]]:
    """The rows of a seekable `stream`, the header first; a blank line is a row without cells.

    Raises `BadInput` for invalid CSV, with the row's number as in a spreadsheet, the header being row 1.
    """
    encoding = find_encoding(stream)
    stream.seek(0)
    text = io.TextIOWrapper(stream, encoding, newline="")
    try:
        yield from _rows(text)
    finally:
        if not stream.closed:
            text.detach()


def _rows(text: io.TextIOWrapper) -> Iterator[list[str]]:
    separator = find_separator(text.read(HEAD))
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


def find_separator(head: str) -> str:
    """The separator of the header at the beginning of a text."""
    header = re.split(r"[\r\n]", QUOTED.sub("", head), maxsplit=1)[0]
    return max(SEPARATORS, key=header.count)


class _Lines:
    """The lines of a text for `csv.reader`, with a limit on what one row may take."""

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
                f"row {self._row}: it has over {MAX_ROW_CHARACTERS:,} characters, the limit of a row;"
                " perhaps a quotation mark is not closed"
            )
        self._separators -= line.count(self._separator)
        if self._separators < 0:
            raise BadInput(f"row {self._row}: it has over {MAX_ROW_SEPARATORS:,} separators")
        return line


def _lift_field_limit() -> None:
    """The limit is process-wide, so it is only ever raised; `_Lines` limits the rows."""
    if csv.field_size_limit() < MAX_ROW_CHARACTERS:
        csv.field_size_limit(MAX_ROW_CHARACTERS)


def _told(error: csv.Error) -> str:
    message = str(error)
    return "a quotation mark is not closed" if message == "unexpected end of data" else message
