"""A workbook given back with the answers in columns on the right of the sheet that was read.

Everything else in it (other sheets, formats, charts, formulas and their saved values) is the bytes that came:
libraries that read a workbook and write it again lose what they do not know. Only that sheet is written anew,
row by row as it is sent, and of its XML only the rows that get answers are changed.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, BinaryIO, NamedTuple

from app.core.reading.layout import DATE, Layout, Row
from app.core.reading.xlsx.cells import with_number
from app.core.reading.xlsx.sheet_columns import Columns
from app.core.reading.xlsx.styles import with_dates
from app.core.reading.xlsx.zip_stream import ZipStream
from app.ingest.forms.row_numbers import RowNumbers
from app.ingest.forms.workbook import Workbook
from app.ingest.xlsx.archive import Archive
from app.ingest.xlsx.sheet_xml import SheetXml

CHUNK = 64_000  # bytes of XML that are packed at once
MAX_SHEET_BYTES = 1_800_000_000  # unpacked, about; spreadsheets do not open larger ones
BYTES_A_TOKEN, BYTES_A_ROW = 8, 1_000  # of answers; of the other cells that a row gets


class Filled(NamedTuple):
    """What a row gets."""

    number: int
    cells: list[Any]


def fits(workbook: Workbook, rows: int, output_tokens: int) -> bool:
    """Whether a sheet can hold the answers of so many rows."""
    added = BYTES_A_TOKEN * output_tokens + BYTES_A_ROW * rows
    return workbook.sheet_bytes + added <= MAX_SHEET_BYTES


def numbered(rows: Iterable[tuple[int, Row]], numbers: RowNumbers) -> Iterator[tuple[int, Row]]:
    """Rows with their places among those that were asked, in order; each with its number in the sheet."""
    rest, before = iter(numbers), -1
    for place, row in rows:
        yield next(islice(rest, place - before - 1, None)), row
        before = place


def workbook_chunks(
    file: BinaryIO, workbook: Workbook, layout: Layout, rows: Iterable[tuple[int, Row]]
) -> Iterator[bytes]:
    """The workbook in the seekable `file` with the answers of `rows`, in pieces of up to about 64 kB.

    Where answers have dates, it gets a style for them.
    """
    archive, sent = Archive(file), ZipStream()
    names = Filled(workbook.header_row, list(layout.added))
    results = (Filled(number, with_number(layout.added_cells(row))) for number, row in rows)
    styles = with_dates(archive) if DATE in layout.types else None
    for part in archive.parts:
        if styles is not None and part.filename == styles.part:
            yield from sent.pack(part, (styles.content,))
            continue
        if part.filename != workbook.part:
            yield from sent.copy(part, file)
            continue
        sheet = SheetXml(archive.blocks(part.filename))
        date_style = None if styles is None else styles.date_style
        at = Columns(sheet.prefix, workbook.last_column + 1, len(names.cells), date_style)
        yield from sent.pack(part, _joined(_with(sheet, at, chain((names,), results))))
    yield sent.end()


def _with(sheet: SheetXml, columns: Columns, results: Iterator[Filled]) -> Iterator[bytes]:
    """The XML of the sheet with `results`, the names of the columns first."""
    yield columns.in_head(sheet.head)
    header = filled = next(results, None)
    for number, row in sheet.rows():
        while filled is not None and filled.number < number:
            yield columns.new_row(*filled)
            filled = next(results, None)
        if filled is None or filled.number > number:
            yield row
            continue
        yield columns.in_row(row, *filled, is_header=filled is header)
        filled = next(results, None)
    while filled is not None:
        yield columns.new_row(*filled)
        filled = next(results, None)
    yield from sheet.tail()


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    yield b"".join(waiting)
