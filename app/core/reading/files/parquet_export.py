"""Results as Parquet, each column with a type of its own, written by a helper a row group at a time.

A job that came as Parquet gets its own columns back as they were, with those of the answers behind them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

from app.core.reading.layout import Layout, Row
from app.ingest.apart.helper import Bounds, Helper
from app.ingest.values import as_text

CHUNK = 500  # rows that are handed over at once
CHARACTERS = 4_000_000  # of the texts of these, about
MEMORY, SECONDS = 2_000_000_000, 3_600  # of the helper: it packs what has been paid for, and holds one group
KINDS = ("text", "integer", "number", "boolean", "date")


class Column(NamedTuple):
    """A column of the file; `kind` is one of `KINDS`."""

    name: str
    kind: str


def answer_columns(layout: Layout) -> list[Column]:
    """Those that are added to a table, for the cells of `answer_cells`."""
    types = zip(layout.added, layout.types, strict=True)
    return [Column(name, kind if kind in KINDS else "text") for name, kind in types]


def answer_cells(layout: Layout, row: Row) -> list[Any]:
    """The cost, which is the last, is a number."""
    *cells, cost = layout.added_cells(row)
    return [*cells, None if cost is None else float(cost)]


def kinds_of(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> list[Column]:
    """The columns with the kind that holds what all of their cells are; texts where they are mixed."""
    found: dict[str, set[str]] = {name: set() for name in columns}
    for cells in rows:
        for name in columns:
            value = cells.get(name)
            if value is not None and value != "":
                found[name].add(_kind(value))
    return [Column(name, _common(kinds)) for name, kinds in found.items()]


class ParquetFile:
    """The file in pieces. Begun at once, so that what hinders it is known before the first byte.

    `own`: the file whose columns come first, in whose order the rows are numbered. Raises `BadInput` where
    Parquet cannot be written here.
    """

    def __init__(self, columns: Sequence[Column], own: BinaryIO | None = None) -> None:
        self._columns = columns
        bounds = Bounds(MEMORY, SECONDS)
        self._helper = Helper("parquet_writing", bounds, what="the results cannot be Parquet")
        try:
            self._first: bytes = self._helper.ask([tuple(column) for column in columns], own)
        except BaseException:
            self._helper.close()
            raise

    def close(self) -> None:
        """End it, if nobody reads it to its end."""
        self._helper.close()

    def rows(self, rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
        """The file with these rows, each with a cell for each column."""
        return self._written(map(self._as_sent, rows))

    def beside(self, rows: Iterable[tuple[int, Sequence[Any]]]) -> Iterator[bytes]:
        """The file with these cells behind its own; rows are numbered from 0 on, and come in their order."""
        return self._written((number, self._as_sent(cells)) for number, cells in rows)

    def _written(self, rows: Iterator[Any]) -> Iterator[bytes]:
        with self._helper:
            yield self._first
            while chunk := list(_some(rows)):
                yield self._helper.ask(chunk)
            yield self._helper.ask(None)

    def _as_sent(self, cells: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(
            as_text(cell) if column.kind == "text" and cell is not None else None if cell == "" else cell
            for column, cell in zip(self._columns, cells, strict=True)
        )


def own_cells(layout: Layout, row: Row) -> list[Any]:
    """The cells of one row of a new file."""
    return [*map(row.cells.get, layout.columns), *answer_cells(layout, row)]


def _some(rows: Iterator[Any]) -> Iterator[Any]:
    characters = 0
    for row in islice(rows, CHUNK):
        yield row
        characters += sum(len(cell) for cell in row if isinstance(cell, str))
        if characters > CHARACTERS:
            return


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -(2**63) <= value < 2**63 else "text"
    return "number" if isinstance(value, float) else "text"


def _common(kinds: set[str]) -> str:
    if kinds == {"integer", "number"}:
        return "number"
    return kinds.pop() if len(kinds) == 1 else "text"
