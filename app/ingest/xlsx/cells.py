"""The value of a cell, as JSON knows it."""

from datetime import date, datetime, time
from math import isfinite
from typing import Any

from openpyxl.utils.datetime import from_excel, from_ISO8601

from app.ingest.xlsx.meter import DATE, Meter
from app.ingest.xlsx.texts import decoded
from app.ingest.xlsx.workbook import Workbook

MAX_NUMBER = 300  # characters; Excel writes up to 24


class Cells:
    """Numbers and truth values stay what they are, dates become ISO 8601, errors their names."""

    def __init__(self, workbook: Workbook, meter: Meter) -> None:
        self._strings, self._epoch = workbook.strings, workbook.epoch
        self._dates, self._lengths = workbook.styles.dates, workbook.styles.lengths
        self._meter = meter

    def value(self, given: dict[str, str], text: str) -> Any:
        """The value of a cell with these attributes and this text; raises `ValueError` for an invalid one."""
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
        if "." not in text and "E" not in text and "e" not in text:
            return self._dated(int(text), style)
        number = float(text)
        if not isfinite(number):
            raise ValueError(f"{text[:20]} is more than a number can be")
        return self._dated(number, style)

    def _dated(self, number: float, style: str | None) -> Any:
        if style not in self._dates:
            return number
        self._meter.take_marks(DATE)
        try:
            return _shown(from_excel(number, self._epoch, timedelta=style in self._lengths))
        except (OverflowError, ValueError):
            return "#VALUE!"  # as Excel has it


def _shown(moment: Any) -> str:
    if isinstance(moment, datetime) and moment.time() == time():
        return moment.date().isoformat()
    return moment.isoformat() if isinstance(moment, date | time) else str(moment)
