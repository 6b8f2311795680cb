"""How a CSV file is written (encoding, separator, line ends, decimal sign), for its results to match."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from app.ingest.csv_rows import QUOTED, SAYS_SEPARATOR, choose_separator
from app.ingest.encodings import HEAD, find_encoding
from app.ingest.sheets.rows import EVERYTHING, Choice

ROWS_LOOKED_AT = 1_000  # for the decimal sign of their numbers

# With or without a thousands separator, and with a currency or a percent sign before or behind it.
COMMA = re.compile(r"[^\d,.]{0,5}(?:\d+|\d{1,3}(?:[.'\s’]\d{3})+),\d+[^\d,.]{0,5}")
POINT = re.compile(r"[^\d,.]{0,5}(?:\d+|\d{1,3}(?:[,'\s’]\d{3})+)\.\d+[^\d,.]{0,5}")
EITHER = re.compile(r"\D*\d{1,3}[.,]\d{3}\D*")  # the sign may separate thousands as well
LINE_END = re.compile(r"\r\n|\n|\r")
WIDE = {"utf-16": 2, "utf-32": 4}  # bytes of a unit, where the mark tells the order of bytes


@dataclass(frozen=True, slots=True)
class Delimited:
    """What is written if nothing else is known: what every spreadsheet and every program reads."""

    encoding: str = "utf-8"  # a codec of Python that writes no mark of its own
    has_mark: bool = True  # it begins with a byte order mark
    separator: str = ","
    line_end: str = "\r\n"
    has_decimal_comma: bool = False
    names_separator: bool = False  # its first line is `sep=;`, which is for Excel alone


def find_form(stream: BinaryIO, choice: Choice = EVERYTHING) -> Delimited:
    """How a seekable `stream` of valid CSV is written; raises `BadInput` for an unknown encoding."""
    encoding = find_encoding(stream, choice.encoding)
    stream.seek(0)
    beginning = stream.read(HEAD)
    codec, has_mark = _without_mark(encoding, beginning)
    head = beginning.decode(codec, "ignore").lstrip("\ufeff")
    named = SAYS_SEPARATOR.match(head)
    separator = choose_separator(head, choice)
    end = LINE_END.search(QUOTED.sub("", head))
    return Delimited(
        encoding=codec,
        has_mark=has_mark,
        separator=separator,
        line_end=end[0] if end else "\r\n",
        has_decimal_comma=_has_decimal_comma(_cells(head, separator), separator),
        names_separator=named is not None,
    )


def _without_mark(encoding: str, beginning: bytes) -> tuple[str, bool]:
    """The codec of the text behind the mark, and whether there is a mark."""
    if encoding in WIDE:
        order = "le" if beginning[0] == 0xFF else "be"
        return f"{encoding}-{order}", True
    return encoding.removesuffix("-sig"), encoding.endswith("-sig")


def _cells(head: str, separator: str) -> Iterator[str]:
    rows = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
    try:
        for row in islice(rows, ROWS_LOOKED_AT):
            yield from row
    except csv.Error:
        return  # the head may end within a cell


def _has_decimal_comma(cells: Iterable[str], separator: str) -> bool:
    """A spreadsheet writes semicolons where the comma is its decimal sign, so those need no number that says
    so; other separators do.
    """
    if separator == ",":
        return False
    commas = points = 0
    for cell in cells:
        if ("," in cell or "." in cell) and not EITHER.fullmatch(cell):
            commas += COMMA.fullmatch(cell) is not None
            points += POINT.fullmatch(cell) is not None
    return commas > points or (separator == ";" and not points)
