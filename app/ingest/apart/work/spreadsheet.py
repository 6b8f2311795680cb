"""A sheet of XLS, XLSB or ODS, by python-calamine, which lays the whole workbook out in memory."""

from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from io import BufferedReader
from itertools import repeat
from typing import Any

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetVisibleEnum,
    load_workbook,
)

from app.ingest.apart.frames import Asked, Shared
from app.ingest.apart.work.chunks import in_chunks
from app.ingest.xlsx.formats import plain


def work() -> Generator[Any, Asked, None]:
    """Answers first with the names of the sheets, each with whether it is shown; then to the name of one with
    its merged areas; then with its rows, a chunk each time.
    """
    file = (yield).opened()
    book = _opened(file)
    shown = SheetVisibleEnum.Visible
    asked = yield [(sheet.name, sheet.visible == shown) for sheet in book.sheets_metadata]
    sheet = book.get_sheet_by_name(asked.value)
    yield _merged(sheet)
    yield from in_chunks(_rows(sheet), file.size)


def _opened(file: Shared) -> CalamineWorkbook:
    try:
        return load_workbook(BufferedReader(file, 1_000_000))
    except PasswordError:
        raise ValueError("it is encrypted: save it without a password") from None
    except CalamineError as error:  # of any of the formats that it tried
        raise ValueError(f"it is encrypted, damaged or of another kind ({error}): save it as .xlsx") from None


def _merged(sheet: CalamineSheet) -> list[tuple[int, int, int, int]]:
    """First row and column, last row and column of each area, from 1 on."""
    found = sheet.merged_cell_ranges or []
    return [(top + 1, left + 1, bottom + 1, right + 1) for (top, left), (bottom, right) in found]


def _rows(sheet: CalamineSheet) -> Iterator[list[Any]]:
    """From row 1 and column A on."""
    if sheet.start is None:
        return
    left = list(repeat("", sheet.start[1]))
    for row in sheet.iter_rows():
        yield left + _values(row)


def _values(row: Iterable[Any]) -> list[Any]:
    return [cell if type(cell) is str else _WRITTEN.get(type(cell), str)(cell) for cell in row]


def _moment(value: datetime) -> str:
    return (value.date() if value.time() == time() else value).isoformat()


def _day(value: date) -> str:
    return value.isoformat()


def _length(value: timedelta) -> str:
    seconds = round(abs(value).total_seconds())
    sign = "-" if value < timedelta() else ""
    return f"{sign}{seconds // 3_600}:{seconds % 3_600 // 60:02}:{seconds % 60:02}"


_WRITTEN: dict[type, Callable[[Any], Any]] = {
    bool: bool,
    int: int,
    float: plain,
    datetime: _moment,
    date: _day,
    time: time.isoformat,
    timedelta: _length,
}
