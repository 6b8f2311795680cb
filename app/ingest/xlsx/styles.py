"""How the styles of cells show a number: as a date, as a length of time, or in a format of its own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from openpyxl.styles.numbers import builtin_format_code, is_date_format, is_timedelta_format

from app.ingest.xlsx.markup import names, parse

MAX_SEARCHED = 100  # characters of a format's first part: openpyxl's search for dates takes their square
UNCHANGED = ("General", "@")  # formats that show a number as it is
TAGS = names("numFmt", "cellXfs", "xf")


@dataclass(frozen=True, slots=True)
class Styles:
    """The numbers of the styles, as cells name them."""

    dates: frozenset[str] = frozenset()  # lengths of time included
    lengths: frozenset[str] = frozenset()
    codes: Mapping[str, str] = field(default_factory=dict)  # of the styles that do not show a number as it is


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
            self._codes[given["numFmtId"]] = given.get("formatCode", "")
        elif tag == "cellXfs":
            self._counts = True

    def end(self, name: str) -> None:
        if TAGS.get(name) == "cellXfs":
            self._counts = False

    def styles(self) -> Styles:
        codes = {number: self._codes.get(number) or _own(number) for number in set(self._used)}
        first = {number: code and code.split(";")[0][:MAX_SEARCHED] for number, code in codes.items()}
        dates = {number for number, code in first.items() if is_date_format(code)}
        lengths = {number for number in dates if is_timedelta_format(first[number])}
        used = [(str(style), number) for style, number in enumerate(self._used)]
        return Styles(
            frozenset(style for style, number in used if number in dates),
            frozenset(style for style, number in used if number in lengths),
            {style: code for style, number in used if (code := codes[number]) and code not in UNCHANGED},
        )


def _own(number: str) -> str | None:
    """The code of one of Excel's own formats."""
    code: str | None = builtin_format_code(int(number)) if number.isdecimal() and len(number) < 4 else None
    return code
