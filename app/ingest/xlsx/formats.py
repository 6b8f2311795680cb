"""Numbers as a sheet shows them: zeros in front, percentages, places, words around, lengths of time.

A number stays a number where its format shows what a number looks like by itself. Separators of thousands are
left out, because they differ from country to country, and fractions and powers of ten are not applied.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from itertools import pairwise
from typing import Any

MAX_FORMAT = 200  # characters
MAX_WHOLE = 10.0**21  # beyond it a whole number is no longer exact, nor shown as one

TOKEN = re.compile(r'"[^"]*"?|\\.|_.|\*.|\[[^\]]*\]?|General|E[+-]|.', re.DOTALL | re.IGNORECASE)
CURRENCY = re.compile(r"\[\$([^\-\]]*)")
CONDITION = re.compile(r"\[[<>=]")
GENERAL = "general"  # the number as it is
PLACES, WHOLE = "0#?", re.compile(r"-?(?:0|[1-9][0-9]{0,20})")
EXACT = Context(prec=400, rounding=ROUND_HALF_UP)
LENGTH = re.compile(r"\[(h+|m+|s+)\](:mm)?(:ss)?", re.IGNORECASE)
SECONDS = {"h": 3_600, "m": 60, "s": 1}


def plain(number: float) -> float | int:
    """A number without a format: as many digits as spreadsheets have, and no `.0` at a whole one."""
    if isinstance(number, int) or (number.is_integer() and abs(number) < MAX_WHOLE):
        return int(Decimal(repr(number)))  # `int` alone would show digits that a large number does not have
    return float(f"{number:.15g}")


def length_shown(length: timedelta, code: str) -> str:
    """A length of time in a format such as `[h]:mm`."""
    found = LENGTH.search(code)
    assert found is not None
    milliseconds = round(abs(length).total_seconds() * 1_000)
    unit = SECONDS[found[1][0].lower()]
    count, rest = divmod(milliseconds // 1_000, unit)
    parts = [f"{count:0{len(found[1])}}"]
    if unit == SECONDS["h"] and found[2]:
        parts.append(f"{rest // 60:02}")
    if found[3]:
        parts.append(f"{rest % 60:02}")
    return ("-" if length < timedelta() else "") + ":".join(parts)


class NumberFormat:
    """What a format makes of numbers; `code` has up to four sections: above 0, below 0, 0, texts."""

    def __init__(self, code: str) -> None:
        sections = [] if len(code) > MAX_FORMAT or CONDITION.search(code) else _split(code)
        self._sections = [_Section(marks) for marks in sections[:3]]

    def shown(self, number: float) -> Any:
        """The number, or the text that is shown for it."""
        section, is_signed = self._section(number)
        text = None if section is None else section.write(number, is_signed=is_signed)
        return plain(number) if text is None else _number_again(text)

    def _section(self, number: float) -> tuple["_Section | None", bool]:
        count = len(self._sections)
        if number < 0 and count > 1:
            return self._sections[1], False
        if number == 0 and count > 2:
            return self._sections[2], False
        return (self._sections[0] if count else None), True


class _Section:
    """One section of a format: places for digits, with texts before, between and behind them."""

    def __init__(self, marks: list[str]) -> None:
        self._whole: list[_Part] = []
        self._decimals: list[_Part] = []
        self._percents = self._thousands = 0
        self._is_known = True
        self._is_general = False
        parts = self._whole
        for mark, following in pairwise([*marks, ""]):
            if mark == "." and parts is self._whole:
                parts = self._decimals
            elif mark in PLACES:
                parts.append(_Part(mark, is_place=True))
            elif mark == ",":
                self._thousands += following not in tuple(PLACES) and self._has_places
            else:
                self._take(mark, parts)

    @property
    def _has_places(self) -> bool:
        return any(part.is_place for part in (*self._whole, *self._decimals))

    def _take(self, mark: str, parts: "list[_Part]") -> None:
        first = mark[0]
        if mark.lower() == GENERAL:
            self._is_general = True
            parts.append(_Part(GENERAL))
        elif mark == "%":
            self._percents += 1
            parts.append(_Part("%"))
        elif first == '"':
            parts.append(_Part(mark.strip('"')))
        elif first == "\\":
            parts.append(_Part(mark[1:]))
        elif first == "_" and len(mark) == 2:
            parts.append(_Part(" "))
        elif currency := CURRENCY.match(mark):
            parts.append(_Part(currency[1]))
        elif first in "@/" or first.isalpha():
            self._is_known = False
        elif first not in "[*":
            parts.append(_Part(mark))

    def write(self, number: float, *, is_signed: bool) -> str | None:
        """The text; None for a format that is not applied."""
        if not self._is_known or not (self._whole or self._decimals):
            return None
        if self._is_general:
            return self._around(number, is_signed=is_signed)
        places = sum(part.is_place for part in self._decimals)
        value = Decimal(number if isinstance(number, int) else f"{number:.15g}")
        value = EXACT.scaleb(value, 2 * self._percents - 3 * self._thousands)
        value = EXACT.quantize(abs(value), Decimal(1).scaleb(-places))
        whole, _, decimals = f"{value:f}".partition(".")
        sign = "-" if is_signed and number < 0 and value and self._has_places else ""
        text = _fill_whole(self._whole, whole.lstrip("0")) + _fill_decimals(self._decimals, decimals)
        return sign + text.strip()

    def _around(self, number: float, *, is_signed: bool) -> str | None:
        """The number as it is, with the texts before and behind it; None if it has places for digits, too."""
        if self._has_places:
            return None
        shown = str(plain(abs(number)))
        text = "".join(shown if part.text == GENERAL else part.text for part in self._whole + self._decimals)
        return ("-" if is_signed and number < 0 else "") + text.strip()


@dataclass(frozen=True, slots=True)
class _Part:
    text: str
    is_place: bool = False


def _split(code: str) -> list[list[str]]:
    """The marks of each section; none for the format that leaves numbers alone."""
    sections: list[list[str]] = [[]]
    for mark in TOKEN.findall(code):
        if mark == ";":
            sections.append([])
        else:
            sections[-1].append(mark)
    return sections


def _fill_whole(parts: list[_Part], digits: str) -> str:
    """From the right; what has no place of its own stands before the first one."""
    written: list[str] = []
    places = sum(part.is_place for part in parts)
    for part in reversed(parts):
        if not part.is_place:
            written.append(part.text)
            continue
        places -= 1
        cut = len(digits) - 1 if places else 0
        digit, digits = digits[max(cut, 0) :], digits[: max(cut, 0)]
        written.append(digit or ("0" if part.text == "0" else ""))
    return "".join(reversed(written))


def _fill_decimals(parts: list[_Part], digits: str) -> str:
    """With the point; zeros at the end only where the format wants them."""
    wanted = [part.text for part in parts if part.is_place]
    while wanted and wanted[-1] != "0" and digits.endswith("0"):
        wanted.pop()
        digits = digits[:-1]
    remaining = iter(digits)
    text = "".join(next(remaining, "") if part.is_place else part.text for part in parts)
    return "." + text if digits else text


def _number_again(text: str) -> Any:
    """The number that looks the same as `text`, or the text."""
    if WHOLE.fullmatch(text):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return text
    return number if repr(number) == text else text
