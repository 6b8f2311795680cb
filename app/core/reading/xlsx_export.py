"""Results as a workbook, for spreadsheets: every answer is typed as text and none is a formula.

What XLSX cannot hold is shown by its code, as in `\\u0000`, never dropped in silence.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from app.core.reading import csv_export
from app.core.reading.csv_export import Row
from app.ingest.values import as_text

CHUNK = 64_000  # bytes
MAX_SHEET_ROWS = 1_048_576  # Excel's own, the header included
MAX_CELL_UNITS = 32_767  # Excel's own, in UTF-16 units: an emoji takes two

# What XML 1.0 has no place for, half surrogate pairs among it.
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
LINE_END = re.compile("\r\n?")  # XML makes a line feed of each; coded, many readers would show `_x000D_`


def xlsx_chunks(
    columns: Sequence[str], rows: Iterable[Row], *, sheet_rows: int = MAX_SHEET_ROWS
) -> Iterator[bytes]:
    """The table as XLSX, in pieces of 64 kB; it is written whole to a temporary folder before the first.

    More rows than a sheet holds, the header included, go on in another one.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "answers.xlsx")
        # Left to itself XlsxWriter keeps every row in memory until the end.
        with Workbook(path, {"constant_memory": True, "tmpdir": folder}) as workbook:
            workbook.use_zip64()
            _fill(workbook, columns, rows, sheet_rows)
        with path.open("rb") as file:
            while piece := file.read(CHUNK):
                yield piece


def _fill(workbook: Workbook, columns: Sequence[str], rows: Iterable[Row], sheet_rows: int) -> None:
    names = csv_export.header(columns)
    sheet = _new_sheet(workbook, names)
    for number, row in enumerate(rows):
        line = number % (sheet_rows - 1) + 1
        if number and line == 1:
            sheet = _new_sheet(workbook, names)
        cells = csv_export.cells(columns, row)
        cells[-1] = None if row.cost is None else float(row.cost)  # a number, so that a sheet can add it up
        _write_row(sheet, line, cells)


def _new_sheet(workbook: Workbook, names: Sequence[str]) -> Worksheet:
    sheet = workbook.add_worksheet(f"answers{len(workbook.worksheets()) or ''}")
    sheet.freeze_panes(1, 0)
    _write_row(sheet, 0, names)
    return sheet


def _write_row(sheet: Worksheet, line: int, cells: Sequence[Any]) -> None:
    for column, value in enumerate(cells):
        if isinstance(value, bool):
            sheet.write_boolean(line, column, value)
        elif isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**15):
            sheet.write_number(line, column, value)  # of an integer Excel keeps fifteen digits
        elif value is not None and value != "":
            _write_text(sheet, line, column, as_text(value))


def _write_text(sheet: Worksheet, line: int, column: int, text: str) -> None:
    text = _fit(NOT_IN_XML.sub(_code, LINE_END.sub("\n", text)))
    if text.startswith("<r>") and text.endswith("</r>"):
        # XlsxWriter would take it for rich text of its own making and let its tags through, formulas among
        # them. As fragments of rich text each part is escaped.
        sheet.write_rich_string(line, column, "<", "r", text[2:])
    else:
        sheet.write_string(line, column, text)


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
