"""Which styles of cells show a number as a date, or as a length of time."""

from collections.abc import Iterable
from dataclasses import dataclass

from openpyxl.styles.numbers import builtin_format_code, is_date_format, is_timedelta_format

from app.ingest.xlsx.markup import names, parse

MAX_FORMAT = 100  # characters of a format's first part: openpyxl's search for dates takes their square
TAGS = names("numFmt", "cellXfs", "xf")


@dataclass(frozen=True, slots=True)
class Styles:
    """The numbers of the styles, as cells name them."""

    dates: frozenset[str] = frozenset()
    lengths: frozenset[str] = frozenset()


def read_styles(blocks: Iterable[bytes]) -> Styles:
    formats = _Formats()
    for _ in parse(blocks, formats.start, formats.end):
        pass
    return formats.styles()


class _Formats:
    """The workbook's own formats of numbers, and the format of each style."""

    def __init__(self) -> None:
        self._codes: dict[str, str] = {}
        self._used: list[str] = []
        self._counts = False

    def start(self, name: str, given: dict[str, str]) -> None:
        tag = TAGS.get(name)
        if tag == "xf" and self._counts:
            self._used.append(given.get("numFmtId", "0"))
        elif tag == "numFmt" and "numFmtId" in given:
            self._codes[given["numFmtId"]] = given.get("formatCode", "").split(";")[0][:MAX_FORMAT]
        elif tag == "cellXfs":
            self._counts = True

    def end(self, name: str) -> None:
        if TAGS.get(name) == "cellXfs":
            self._counts = False

    def styles(self) -> Styles:
        codes = {number: self._codes.get(number) or _own(number) for number in set(self._used)}
        dates = {number for number, code in codes.items() if is_date_format(code)}
        lengths = {number for number, code in codes.items() if is_timedelta_format(code)}
        used = list(enumerate(self._used))
        return Styles(
            frozenset(str(style) for style, number in used if number in dates),
            frozenset(str(style) for style, number in used if number in lengths),
        )


def _own(number: str) -> str | None:
    """The code of one of Excel's own formats."""
    code: str | None = builtin_format_code(int(number)) if number.isdecimal() and len(number) < 4 else None
    return code
