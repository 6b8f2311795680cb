"""The rows of a CSV file. Its encoding and separator are detected, unless its sender names them."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from itertools import count
from typing import BinaryIO, Self

from app.errors import BadInput
from app.ingest.encodings import HEAD, find_encoding
from app.ingest.sheets.rows import EVERYTHING, SOUND, Choice, Flaw, Row, Source

SEPARATORS = ",;\t|"  # the first of two that occur equally often in the header
MAX_ROW_CHARACTERS = 32_000_000
MAX_ROW_SEPARATORS = 2_000_000  # in its cells, too: `csv` builds a row in one go, blocking everything else
LINES_COMPARED = 20  # of which each separator has to be in most, where the header has none
MARKS = "\ufeff\u200b"  # at the start of a file, as often as it was joined or saved again
FILLING = "\x1a\0"  # behind the last line: Ctrl-Z of old programs, NULs of space that was reserved

# Possessive, because each step of a repetition that may be taken back is kept in memory.
QUOTED = re.compile(r'(?<![^,;\t|\r\n])"[^"]*+(?:""[^"]*+)*+(?:"|$)')
# What spreadsheets write as a first line, and do not show: which separator the file has.
SAYS_SEPARATOR = re.compile(rf'[{MARKS}]*"?sep=([^"\r\n])"?[,;\t|]*(?:\r\n|\r|\n|$)', re.IGNORECASE)


def read_rows(stream: BinaryIO, choice: Choice = EVERYTHING) -> Source:
    """The rows of a seekable `stream`; a blank line is a row without cells.

    While they are read `BadInput` is raised for invalid CSV, with the row's number as in a spreadsheet.
    """
    source = Source(iter(()))
    source.rows = _read(stream, choice, source)
    return source


def _read(stream: BinaryIO, choice: Choice, source: Source) -> Iterator[Row]:
    source.encoding = find_encoding(stream, choice.encoding)
    stream.seek(0)
    text = io.TextIOWrapper(stream, source.encoding, newline="")
    try:
        yield from _rows(text, choice, source)
    finally:
        if not stream.closed:
            text.detach()


def _rows(text: io.TextIOWrapper, choice: Choice, source: Source) -> Iterator[Row]:
    head = text.read(HEAD)
    text.seek(0)
    if SAYS_SEPARATOR.match(head):
        text.readline()
    separator = source.separator = choose_separator(head, choice)
    lines = _Lines(text, separator)
    _lift_field_limit()
    reader = csv.reader(lines, delimiter=separator, strict=True)
    for number in count(1):
        lines.start(number)
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise BadInput(f"row {number}: not CSV: {_told(error)}{lines.hint}") from None
        if row is None:
            return
        yield Row(number, row, flaws=_without_nuls(row) if lines.has_nul else SOUND)


def choose_separator(head: str, choice: Choice) -> str:
    """The one that its sender names, else the one that its first line names, else the one that it shows."""
    if choice.separator is not None:
        return choice.separator
    said = SAYS_SEPARATOR.match(head)
    return said[1] if said is not None else find_separator(head, choice.header_row)


def find_separator(head: str, header_row: int) -> str:
    """The one that is in the header; if hardly any other line has it, the one that they have.

    Of several in the header it is the one that most lines have as often, and that no spaces follow.
    """
    lines = re.split(r"\r\n|\r|\n", QUOTED.sub("", head), maxsplit=header_row + LINES_COMPARED)
    header = lines[max(min(header_row, len(lines)), 1) - 1]
    others = [
        line for line in lines[header_row : header_row + LINES_COMPARED] if line.strip(SEPARATORS + " ")
    ]
    there = [one for one in SEPARATORS if one in header] or SEPARATORS[:1]
    fits = {one: sum(line.count(one) == header.count(one) for line in others) for one in there}
    spaced = {one: sum(line.count(one + " ") for line in (header, *others)) for one in there}
    found = max(there, key=lambda one: (fits[one], -spaced[one], header.count(one)))
    shares = {one: sum(one in line for line in others) for one in SEPARATORS}
    likelier = max(SEPARATORS, key=lambda one: shares[one])
    is_odd = len(others) >= 2 and shares[found] < len(others) / 2
    return likelier if is_odd and shares[likelier] >= 0.8 * len(others) else found


def _without_nuls(row: list[str]) -> Mapping[int, Flaw]:
    """Empty the cells that consist of NULs, which some databases write for nothing; the others are flawed."""
    flaws = {}
    for index, cell in enumerate(row):
        if "\0" in cell:
            if cell.strip("\0 "):
                flaws[index] = Flaw.NUL
            else:
                row[index] = ""
    return flaws


class _Lines:
    """The lines of a text for `csv.reader`, with a limit on what one row may take."""

    def __init__(self, text: io.TextIOWrapper, separator: str) -> None:
        self._text = text
        self._separator = separator
        self._is_first = True
        self._has_backslash = False
        self.has_nul = False  # in the row that is being read

    @property
    def hint(self) -> str:
        """What may be wrong with a row that is not CSV."""
        if not self._has_backslash:
            return ""
        return (
            '; it has a quotation mark behind a backslash (\\"), as some databases write it, but in CSV one'
            ' within a cell is doubled (""): export the file with doubled ones'
        )

    def start(self, row: int) -> None:
        self._row = row
        self._room = MAX_ROW_CHARACTERS
        self._separators = MAX_ROW_SEPARATORS
        self.has_nul = self._has_backslash = False

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
                f" perhaps a quotation mark is not closed{self.hint}"
            )
        self._separators -= line.count(self._separator)
        if self._separators < 0:
            raise BadInput(f"row {self._row}: it has over {MAX_ROW_SEPARATORS:,} separators")
        if line[-1] in FILLING:  # only the last line ends without a line break
            line = line.rstrip(FILLING) or line
        self.has_nul = self.has_nul or "\0" in line
        self._has_backslash = self._has_backslash or '\\"' in line
        if self._is_first:
            self._is_first = False
            return line.lstrip(MARKS)
        return line


def _lift_field_limit() -> None:
    """The limit is process-wide, so it is only ever raised; `_Lines` limits the rows."""
    if csv.field_size_limit() < MAX_ROW_CHARACTERS:
        csv.field_size_limit(MAX_ROW_CHARACTERS)


def _told(error: csv.Error) -> str:
    message = str(error)
    return "a quotation mark is not closed" if message == "unexpected end of data" else message
