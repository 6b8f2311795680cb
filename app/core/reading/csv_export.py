"""Results as CSV: the input's own columns in their order, then the answer and what it took.

A job that came as CSV gets its results in the form in which it came (`app.ingest.forms.delimited`). Any
other gets UTF-8 with a byte order mark, commas and CRLF (RFC 4180): without the mark Excel reads every accent
wrong, and pandas, Python's `utf-8-sig` and our own reader skip it.

A cell that a spreadsheet would evaluate gets an apostrophe before it: whoever wrote the row, or talked the
model into its answer, must not run formulas on the reader's machine. A character that the encoding cannot
hold is written as its code, as in `\\u0000`, and never dropped silently.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.ingest.forms.delimited import Delimited
from app.ingest.values import as_text

ANSWER_COLUMNS = ("answer", "status", "stop_reason", "error", "input_tokens", "output_tokens", "cost")
CRLF = "\r\n"
CHUNK = 64_000  # characters of CSV
EVALUATED = frozenset("=+-@\t\r")  # a spreadsheet takes what begins with one of them for a formula
# Harmless, and an apostrophe would make a text of it: -5, +3.2, -1.234,50, -1e-7, -12%.
NUMBER = re.compile(r"[+-](?:\d+(?:[.,]\d+)*|[.,]\d+)(?:[eE][+-]?\d+)?%?", re.ASCII)
PLAIN = Delimited()


class Columns(list[str]):
    """The columns of a job's table. `asks` are the names of the prompts of each row, if they are several."""

    def __init__(self, names: Iterable[str], asks: Sequence[str] | None = None) -> None:
        super().__init__(names)
        self.asks = asks


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
    answers: Sequence[str | None] | None = None  # of a row that was asked several prompts


def header(columns: Sequence[str]) -> list[str]:
    """`columns`, then the answer's; one of those that the input has already gets the prefix `penstock_`."""
    names = list(columns)
    asks = columns.asks if isinstance(columns, Columns) else None
    for name in (*(asks or ANSWER_COLUMNS[:1]), *ANSWER_COLUMNS[1:]):
        while name in names:
            name = f"penstock_{name}"  # noqa: PLW2901
        names.append(name)
    return names


def added(columns: Sequence[str]) -> list[str]:
    """The names of the answer's columns alone."""
    return header(columns)[len(columns) :]


def csv_lines(
    columns: Sequence[str], rows: Iterable[Row], form: Delimited = PLAIN, *, raw: bool = False
) -> Iterator[bytes]:
    """The table as CSV, in pieces of about 64 kB; `raw`: what a spreadsheet would evaluate stays as it is."""
    return lines(header(columns), _in_order(columns, rows, form), form, raw=raw)


def _in_order(columns: Sequence[str], rows: Iterable[Row], form: Delimited) -> Iterator[list[Any]]:
    for row in rows:
        of_row = cells(columns, row)
        if form.has_decimal_comma and row.cost is not None:
            of_row[-1] = row.cost.replace(".", ",")
        yield of_row


def lines(
    names: Sequence[str], rows: Iterable[Sequence[Any]], form: Delimited = PLAIN, *, raw: bool = False
) -> Iterator[bytes]:
    """Any table as CSV: `names` are the cells of its header, `rows` those of each row."""
    pieces = _Pieces(form)
    writer = csv.writer(pieces, delimiter=form.separator, lineterminator=CRLF)
    cell = _raw_cell if raw else _safe_cell
    if form.names_separator:
        pieces.write(f"sep={form.separator}{CRLF}")
    writer.writerow(map(cell, names))
    for row in rows:
        writer.writerow(map(cell, row))
        if pieces.size >= CHUNK:
            yield pieces.take()
    yield pieces.take()


def cells(columns: Sequence[str], row: Row) -> list[Any]:
    """The cells of one row, in the order of `header`."""
    return [*map(row.cells.get, columns), *result_cells(row)]


def result_cells(row: Row) -> list[Any]:
    """Those of the answer's columns; the cost is the last."""
    answers = [row.answer] if row.answers is None else row.answers
    of_row = row.status, row.stop_reason, row.error, row.input_tokens, row.output_tokens, row.cost
    return [*answers, *of_row]


class _Pieces:
    """Collects the lines that `csv.writer` writes, each with CRLF at its end, until they are taken."""

    def __init__(self, form: Delimited) -> None:
        self.size = 0
        self._encoding, self._line_end = form.encoding, form.line_end
        self._written = ["\ufeff"] if form.has_mark else []

    def write(self, line: str) -> None:
        # With another end of lines, Python 3.12 and before write CR or LF in cells without quotation marks.
        self._written.append(line if self._line_end == CRLF else line[: -len(CRLF)] + self._line_end)
        self.size += len(line)

    def take(self) -> bytes:
        text = "".join(self._written)
        self._written.clear()
        self.size = 0
        return text.encode(self._encoding, "backslashreplace")


def _raw_cell(value: Any) -> str:
    text = value if type(value) is str else as_text(value)
    # At a NUL many readers end a cell, or the file.
    return text.replace("\0", r"\u0000") if "\0" in text else text


def _safe_cell(value: Any) -> str:
    text = _raw_cell(value)
    return f"'{text}" if text[:1] in EVALUATED and not NUMBER.fullmatch(text) else text
