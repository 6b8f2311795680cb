"""The value of a cell, as JSON knows it."""

from datetime import date, datetime, time
from math import isfinite
from typing import Any

from openpyxl.utils.datetime import from_excel, from_ISO8601

from app.ingest.xlsx.formats import NumberFormat, length_shown, plain
from app.ingest.xlsx.meter import DATE, FORMAT, Meter
from app.ingest.xlsx.texts import decoded
from app.ingest.xlsx.workbook import Workbook

MAX_NUMBER = 300  # characters; Excel writes up to 24
REMEMBERED = 10_000  # numbers with what is shown for them
NO_DATE = "#VALUE!"  # instead of a number that is no date, in a cell that shows one


class Cells:
    """Numbers are as the sheet shows them, truth values stay what they are, dates become ISO 8601."""

    def __init__(self, workbook: Workbook, meter: Meter) -> None:
        self._strings, self._epoch = workbook.strings, workbook.epoch
        self._dates, self._lengths = workbook.styles.dates, workbook.styles.lengths
        self._codes = workbook.styles.codes
        self._shown: dict[tuple[str, str], Any] = {}  # by style and number
        self._formats: dict[str | None, NumberFormat] = {}  # of styles that were met
        self._meter = meter

    def value(self, given: dict[str, str], text: str) -> Any:
        """The value of a cell with these attributes and this text; raises `ValueError` for an invalid one.

        An error is its name, and a number that is no date where one is shown is `NO_DATE` itself.
        """
        kind = given.get("t", "n")
        if kind == "n":
            return self._number(text, given.get("s"))
        if kind == "s":
            return self._shared(text)
        if kind == "b":
            return bool(int(text))
        if kind == "d":
            self._meter.take_marks(DATE)
            return _shown(from_ISO8601(text[:MAX_NUMBER]))  # type: ignore[no-untyped-call]
        return decoded(text)

    def _shared(self, text: str) -> str:
        index = int(text) if len(text) < MAX_NUMBER else -1
        if not 0 <= index < len(self._strings):
            raise ValueError(f"the workbook has {len(self._strings):,} shared texts, and none is {text[:20]}")
        found = self._strings[index]
        self._meter.take_text(len(found))  # it stands once in the file, but once more in a record
        return found

    def _number(self, text: str, style: str | None) -> Any:
        if len(text) > MAX_NUMBER:
            raise ValueError(f"a number of {len(text):,} characters")
        is_whole = "." not in text and "E" not in text and "e" not in text
        number = int(text) if is_whole else float(text)
        if not isfinite(number):
            raise ValueError(f"{text[:20]} is more than a number can be")
        if style is not None and style in self._codes:
            return self._in_format(number, style, text)
        return number if is_whole else plain(number)

    def _in_format(self, number: float, style: str, text: str) -> Any:
        """What is shown for a number; it is made once for numbers that occur again and again."""
        found = self._shown.get((style, text))
        if found is None:
            found = self._formatted(number, style)
            if len(self._shown) < REMEMBERED:
                self._shown[style, text] = found
        elif isinstance(found, str):
            self._meter.take_text(len(found))
        return found

    def _formatted(self, number: float, style: str) -> Any:
        code = self._codes[style]
        self._meter.take_marks(DATE + len(code) // 4)
        if style in self._dates:
            return self._dated(number, style)
        format = self._formats.get(style)
        if format is None:
            self._meter.take_marks(FORMAT * len(code))
            format = self._formats[style] = NumberFormat(code)
        return format.shown(number)

    def _dated(self, number: float, style: str) -> str:
        is_length = style in self._lengths
        try:
            found = from_excel(number, self._epoch, timedelta=is_length)
            return length_shown(found, self._codes[style]) if is_length else _shown(found)
        except (OverflowError, ValueError):
            return NO_DATE


def _shown(moment: Any) -> str:
    if isinstance(moment, datetime) and moment.time() == time():
        return moment.date().isoformat()
    return moment.isoformat() if isinstance(moment, date | time) else str(moment)
