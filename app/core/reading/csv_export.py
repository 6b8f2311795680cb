"""Results as a table: the input's own columns in their order, then the answer and what it took.

CSV is UTF-8 with a byte order mark, comma-separated, with CRLF line ends (RFC 4180): without the mark Excel
reads every accent wrong, and pandas, Python's `utf-8-sig` and our own reader skip it. Cells are not changed:
a leading `=`, `+`, `-` or `@` stays as it is, because an apostrophe before it would be wrong for every reader
but a spreadsheet, for which there is XLSX (`app.core.reading.xlsx_export`). A character that a format cannot
hold is written as its code, as in `\\u0000`, and never dropped silently.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.ingest.values import as_text

ANSWER_COLUMNS = ("answer", "status", "stop_reason", "error", "input_tokens", "output_tokens", "cost")
CHUNK = 64_000  # characters of CSV


@dataclass(frozen=True, slots=True)
class Row:
    """One record and its result; `cells` are by column, and some may be missing."""

    cells: Mapping[str, Any]
    answer: str | None
    status: str
    error: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost: str | None  # USD, a decimal
    stop_reason: str | None = None  # why the answer ended, in the provider's word


def header(columns: Sequence[str]) -> list[str]:
    """`columns`, then the answer's; one of those that the input has already gets the prefix `penstock_`."""
    names = list(columns)
    for name in ANSWER_COLUMNS:
        while name in names:
            name = f"penstock_{name}"  # noqa: PLW2901
        names.append(name)
    return names


def csv_lines(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[bytes]:
    """The table as CSV, in pieces of about 64 kB."""
    pieces = _Pieces()
    writer = csv.writer(pieces)
    pieces.write("\ufeff")
    writer.writerow(_csv_cell(name) for name in header(columns))
    for row in rows:
        writer.writerow(_csv_cell(cell) for cell in cells(columns, row))
        if pieces.size >= CHUNK:
            yield pieces.take()
    yield pieces.take()


def cells(columns: Sequence[str], row: Row) -> list[Any]:
    """The cells of one row, in the order of `header`."""
    own = [row.cells.get(column) for column in columns]
    ended = [row.answer, row.status, row.stop_reason, row.error]
    return [*own, *ended, row.input_tokens, row.output_tokens, row.cost]


class _Pieces:
    """Collects what `csv.writer` writes until it is taken."""

    def __init__(self) -> None:
        self.size = 0
        self._written: list[str] = []

    def write(self, text: str) -> None:
        self._written.append(text)
        self.size += len(text)

    def take(self) -> bytes:
        text = "".join(self._written)
        self._written.clear()
        self.size = 0
        return text.encode("utf-8", "backslashreplace")


def _csv_cell(value: Any) -> str:
    return as_text(value).replace("\0", r"\u0000")  # many readers end a cell, or the file, at a NUL
