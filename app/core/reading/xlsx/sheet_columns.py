"""Columns added to the XML of a sheet, on the right of those that it uses; all else stays as it is."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from app.core.reading.xlsx.cells import cell
from app.core.reading.xlsx.parts import column_letters
from app.ingest.xlsx.coordinates import column_number
from app.ingest.xlsx.sheet_xml import Cells

WIDTH_OF_ANSWERS, WIDTH = 50, 14  # in characters; the answers' is the first of the columns

SPANS = re.compile(rb"\sspans\s*=\s*[\"'][^\"']*[\"']")  # a hint of a row's first and last columns
STYLE = re.compile(rb"\ss\s*=\s*[\"'](\d+)[\"']")
ATTRIBUTE = re.compile(rb"(?<![\w:.-])([\w:.-]+)\s*=\s*[\"']([^\"']*)[\"']")
RIGHT = re.compile(rb"\sref\s*=\s*[\"'](?:[A-Z]+\d+:)?([A-Z]+)\d+[\"']")


class Columns:
    """Columns from number `first` on, A being 1, in a sheet whose tags have `prefix`."""

    def __init__(self, prefix: bytes, first: int, count: int, date_style: str | None = None) -> None:
        """`date_style` is the number of the style that shows a date; None: there is none."""
        self._prefix, self._first, self._last = prefix, first, first + count - 1
        self._letters = [column_letters(column - 1) for column in range(first, first + count)]
        self._date_style = date_style
        self._cells = Cells(prefix)
        self._row = b"<%srow" % prefix

    def in_head(self, head: bytes) -> bytes:
        """What precedes the rows: it says how far they go, and how wide the columns are."""
        dimension = re.compile(rb"<%bdimension\s[^>]*>" % re.escape(self._prefix))
        head = dimension.sub(lambda found: self._extended(found[0]), head, count=1)
        own = re.escape(self._prefix)
        widths = re.search(rb"<%bcols\s*>(.*?)</%bcols\s*>" % (own, own), head, re.DOTALL)
        if widths is None:
            start = end = head.rindex(b"<%ssheetData" % self._prefix)
            return head[:start] + self._widths(b"") + head[end:]
        return head[: widths.start()] + self._widths(widths[1]) + head[widths.end() :]

    def in_row(self, row: bytes, number: int, values: Sequence[Any], *, is_header: bool = False) -> bytes:
        """A row with `values` in these columns; names in a header look like the one before them."""
        end = row.index(b">", row.index(self._row)) + 1
        tag = SPANS.sub(b"", row[:end])
        if row[end - 2 : end] == b"/>":
            return tag[:-2] + b">" + self._written(number, values) + b"</%srow>" % self._prefix
        left, right, style = self._gap(row, end)
        written = self._written(number, values, style if is_header else "")
        return tag + row[end:left] + written + row[right:]

    def new_row(self, number: int, values: Sequence[Any]) -> bytes:
        """A row that the sheet leaves out."""
        return b'%s r="%d">%s</%srow>' % (self._row, number, self._written(number, values), self._prefix)

    def _written(self, number: int, values: Sequence[Any], style: str = "") -> bytes:
        prefix = self._prefix.decode()
        return "".join(
            cell(f"{letters}{number}", value, prefix, style, self._date_style)
            for letters, value in zip(self._letters, values, strict=True)
            if value is not None and value != ""
        ).encode()

    def _gap(self, row: bytes, start: int) -> tuple[int, int, str]:
        """The positions between which our cells go, and the style of the last cell before them.

        What is between the two gives way: cells without a value, which only have a format.
        """
        last = self._cells.last(row)
        some = self._cells.of(row) if last is None or last.column >= self._first else iter((last,))
        left = right = start
        style = ""
        for found in some:
            if found.column < self._first:
                left = right = found.end
                style = _style(row, found.start)
            elif found.column <= self._last:
                right = found.end
        return left, right, style

    def _extended(self, dimension: bytes) -> bytes:
        """The tag that says where the last cell of the sheet is."""
        found = RIGHT.search(dimension)
        if found is None or column_number(found[1].decode()) >= self._last:
            return dimension
        start, end = found.span(1)
        right = self._letters[-1].encode()
        if b":" not in found[0]:  # a single cell
            at = found.end() - 1
            return dimension[:at] + b":" + right + dimension[end:]
        return dimension[:start] + right + dimension[end:]

    def _widths(self, others: bytes) -> bytes:
        """The widths of all columns: ours are shown, whatever was said of the columns behind the last one."""
        tag = b"<%scol" % self._prefix
        kept = [part for given in _attributes(others, tag) for part in self._outside(given)]
        for column in range(self._first, self._last + 1):
            width = WIDTH_OF_ANSWERS if column == self._first else WIDTH
            kept.append({b"min": b"%d" % column, b"max": b"%d" % column, b"width": b"%d" % width})
            kept[-1][b"customWidth"] = b"1"
        kept.sort(key=lambda given: int(given[b"min"]))
        written = b"".join(
            tag + b"".join(b' %s="%s"' % pair for pair in given.items()) + b"/>" for given in kept
        )
        return b"<%scols>%s</%scols>" % (self._prefix, written, self._prefix)

    def _outside(self, given: dict[bytes, bytes]) -> Iterator[dict[bytes, bytes]]:
        """What was said of some columns, for those among them that are not ours."""
        least, most = int(given[b"min"]), int(given[b"max"])
        if least < self._first:
            yield {**given, b"max": b"%d" % min(most, self._first - 1)}
        if most > self._last:
            yield {**given, b"min": b"%d" % max(least, self._last + 1)}


def _style(row: bytes, start: int) -> str:
    """The style of the cell at a position; the sheet's default one is not named."""
    found = STYLE.search(row, start, row.index(b">", start))
    return "" if found is None else found[1].decode()


def _attributes(content: bytes, tag: bytes) -> Iterator[dict[bytes, bytes]]:
    """Those of each tag, which has no content."""
    for found in re.finditer(re.escape(tag) + rb"\s([^>]*)>", content):
        yield dict(ATTRIBUTE.findall(found[1]))
