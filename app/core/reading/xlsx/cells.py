"""Cells of a sheet as XML: every text is typed as text, so that none is a formula."""

import datetime as dt
import re
from typing import Any

from app.ingest.values import as_text

MAX_CELL_UNITS = 32_767  # Excel's own, in UTF-16 units: an emoji takes two

# What XML 1.0 has no place for, half surrogate pairs among it.
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
LINE_END = re.compile("\r\n?")  # XML makes a line feed of each; coded, many readers would show `_x000D_`
CODED = re.compile("_(?=x[0-9A-Fa-f]{4}_)")  # Excel would take what follows for the code of a character
# Days are counted from here. Excel takes 1900 for a leap year, so only from March of it on do all agree.
DAY_0, FIRST_DAY = dt.date(1899, 12, 30).toordinal(), dt.date(1900, 3, 1)
MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def with_number(cells: list[Any]) -> list[Any]:
    """The cells of a row, whose cost, the last of them, is a number: so a sheet can add it up."""
    cost = cells[-1]
    return [*cells[:-1], None if cost is None else float(cost)]


def cell(place: str, value: Any, prefix: str = "", style: str = "", date_style: str | None = None) -> str:
    """A cell at `place`, as in `B7`.

    `prefix` is that of all tags of the sheet, with its colon; `style` is the number of one of its styles,
    `date_style` that of dates, which are texts without one.
    """
    p = prefix
    if isinstance(value, dt.date) and (value < FIRST_DAY or date_style is None):
        value = value.isoformat()
    if isinstance(value, dt.date):
        return f'<{p}c r="{place}" s="{date_style}"><{p}v>{value.toordinal() - DAY_0}</{p}v></{p}c>'
    head = f'{p}c r="{place}" s="{style}"' if style else f'{p}c r="{place}"'
    if isinstance(value, bool):
        return f'<{head} t="b"><{p}v>{value:d}</{p}v></{p}c>'
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**15):
        return f"<{head}><{p}v>{value!r}</{p}v></{p}c>"  # of an integer Excel keeps fifteen digits
    text = _fit(NOT_IN_XML.sub(_code, LINE_END.sub("\n", as_text(value))))
    if "_x" in text:
        text = CODED.sub("_x005F_", text)
    kept = ' xml:space="preserve"' if text[:1].isspace() or text[-1:].isspace() else ""
    return f'<{head} t="inlineStr"><{p}is><{p}t{kept}>{text.translate(MARKUP)}</{p}t></{p}is></{p}c>'


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
