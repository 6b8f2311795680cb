"""Results as a workbook, for spreadsheets: every answer is typed as text and none is a formula.

What XLSX cannot hold is shown by its code, as in `\\u0000`, never dropped in silence.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from tempfile import TemporaryFile
from typing import IO, Any

from openpyxl import Workbook
from openpyxl.cell import Cell, WriteOnlyCell
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

from app.core.reading import csv_export
from app.core.reading.csv_export import Row
from app.ingest.values import as_text

CHUNK = 64_000  # bytes
MAX_SHEET_ROWS = 1_048_576  # Excel's own, the header included
MAX_CELL_UNITS = 32_767  # Excel's own, in UTF-16 units: an emoji takes two

# What XML 1.0 has no place for, half surrogate pairs among it.
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# Excel reads `_x0041_` as an A; its own way to write it out is to code the first underscore.
LOOKS_CODED = re.compile("_(?=x[0-9A-Fa-f]{4}_)")


def xlsx_chunks(
    columns: Sequence[str], rows: Iterable[Row], *, sheet_rows: int = MAX_SHEET_ROWS
) -> Iterator[bytes]:
    """The table as XLSX, in pieces of 64 kB; it is written whole to a temporary file before the first.

    More rows than a sheet holds, the header included, go on in another one.
    """
    with TemporaryFile() as file:
        _write_workbook(file, columns, rows, sheet_rows)
        file.seek(0)
        while piece := file.read(CHUNK):
            yield piece


def _write_workbook(file: IO[bytes], columns: Sequence[str], rows: Iterable[Row], sheet_rows: int) -> None:
    workbook = Workbook(write_only=True)
    try:
        _fill(workbook, columns, rows, sheet_rows)
        workbook.save(file)
    except BaseException:
        _discard(workbook)
        raise


def _fill(workbook: Workbook, columns: Sequence[str], rows: Iterable[Row], sheet_rows: int) -> None:
    names = csv_export.header(columns)
    sheet = _new_sheet(workbook, names)
    for number, row in enumerate(rows):
        if number and number % (sheet_rows - 1) == 0:
            sheet = _new_sheet(workbook, names)
        cells = csv_export.cells(columns, row)
        cells[-1] = None if row.cost is None else float(row.cost)  # a number, so that a sheet can add it up
        sheet.append([_xlsx_cell(sheet, cell) for cell in cells])


def _new_sheet(workbook: Workbook, names: Sequence[str]) -> WriteOnlyWorksheet:
    sheet: WriteOnlyWorksheet = workbook.create_sheet("answers")
    sheet.freeze_panes = "A2"
    sheet.append([_text_cell(sheet, name) for name in names])
    return sheet


def _discard(workbook: Workbook) -> None:
    """openpyxl keeps a temporary file a sheet, and removes it only when it saves or the process ends."""
    sheets: list[Any] = list(workbook.worksheets)
    for sheet in sheets:
        if not sheet.closed:
            sheet.close()
            sheet._writer.cleanup()


def _xlsx_cell(sheet: WriteOnlyWorksheet, value: Any) -> Cell | str | float | None:
    if value is None or value == "":
        return None
    if isinstance(value, float | bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 10**15 else str(value)  # Excel keeps fifteen digits
    return _text_cell(sheet, as_text(value))


def _text_cell(sheet: WriteOnlyWorksheet, text: str) -> Cell | str:
    text = _fit(NOT_IN_XML.sub(_code, LOOKS_CODED.sub("_x005F_", text)))
    if not text.startswith(("=", "#")):
        return text
    # Left to itself openpyxl makes a formula, or one of Excel's errors, of it.
    cell = WriteOnlyCell(sheet, text)
    cell.data_type = "s"
    return cell


def _code(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _fit(text: str) -> str:
    """`text`, cut with a note if a cell cannot hold it."""
    if len(text) <= MAX_CELL_UNITS // 2:
        return text
    units = text.encode("utf-16-le")
    if len(units) // 2 <= MAX_CELL_UNITS:
        return text
    note = f"… [cut: {len(text):,} characters in all]"
    return units[: 2 * (MAX_CELL_UNITS - len(note))].decode("utf-16-le", "ignore") + note
