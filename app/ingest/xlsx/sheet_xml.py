"""The XML of a sheet as the bytes that it is: what precedes the rows, each row, and what follows them.

For giving a workbook back with columns added: what is not changed stays byte for byte as it was written. A
parser of XML has read the sheet before (`app/ingest/xlsx/sheet.py`), so it is well-formed. What no
spreadsheet writes and this cannot tell apart from a tag, such as comments within the rows, is refused.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.errors import NotEditable
from app.ingest.xlsx.coordinates import column_number

MAX_HEAD_BYTES = 1_000_000
MAX_ROW_BYTES = 16_000_000
FORGET = 64_000  # bytes of rows that are done with, after which their memory is used again

DATA = re.compile(rb"<((?:[\w.-]+:)?)sheetData\s*(/?)>")
ENCODING = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.-]+)")
ENCODINGS = (b"utf-8", b"us-ascii", b"ascii")  # those in which our own tags are written
NUMBER = re.compile(rb"\sr\s*=\s*[\"'](\d+)")
PLACE = re.compile(rb"\sr\s*=\s*[\"']\$?([A-Za-z]{1,3})\$?\d+[\"']")
ODD_CELLS = "the XML of its sheet has cells of an unusual form"
ODD = b"<!"  # a comment, or a text in which `<` is none


class Cell(NamedTuple):
    """A cell between two positions of its row's XML."""

    column: int  # A is 1
    start: int
    end: int
    is_used: bool  # it has a value or a formula


class SheetXml:
    """The XML that arrives in `blocks`; to be read in the order `head`, `rows()`, `tail()`.

    Raises `NotEditable` for XML of another form than spreadsheets write.
    """

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._buffer = bytearray()
        self._at = 0  # what is before this position was returned
        self.size = 0  # bytes that have been read
        self.head = self._read_head()  # up to and with the tag that opens the rows
        self._row, self._end_of_row = b"<%srow" % self.prefix, b"</%srow" % self.prefix
        self._end = b"</%ssheetData" % self.prefix

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """The number of each row and its XML, with the white space before it."""
        number = 0
        while (start := self._next_tag()) is not None:
            end_of_tag = self._find(b">", start)
            end = end_of_tag + 1
            if self._buffer[end_of_tag - 1] != ord("/"):
                end = self._find(b">", self._find(self._end_of_row, end)) + 1
            row = bytes(self._buffer[self._at : end])
            if ODD in row:
                raise NotEditable("the XML of its sheet has comments among the rows")
            given = NUMBER.search(row, 0, end_of_tag - self._at)
            number = number + 1 if given is None else int(given[1])
            self._at = end
            yield number, row

    def tail(self) -> Iterator[bytes]:
        """Everything after the last row, in blocks."""
        yield bytes(self._buffer[self._at :])
        self._buffer.clear()
        for block in self._blocks:
            self.size += len(block)
            yield block

    def _read_head(self) -> bytes:
        while (found := DATA.search(self._buffer)) is None:
            self._feed(MAX_HEAD_BYTES)
        head = bytes(self._buffer[: found.end()])
        encoding = ENCODING.match(head)
        if found[2] or ODD in head or (encoding and encoding[1].lower() not in ENCODINGS):
            raise NotEditable("the XML of its sheet is written in an unusual way")
        self.prefix: bytes = found[1]  # of the names of all tags, with its colon; mostly empty
        self._at = found.end()
        return head

    def _next_tag(self) -> int | None:
        """Where the next row begins; None after the last one."""
        if self._at > FORGET:
            del self._buffer[: self._at]
            self._at = 0
        start = self._find(b"<", self._at)
        self._find(b">", start)
        if self._buffer.startswith(self._end, start):
            return None
        after = start + len(self._row)
        if not self._buffer.startswith(self._row, start) or self._buffer[after] not in b" \t\r\n/>":
            raise NotEditable("the XML of its sheet has something else than rows among the rows")
        return start

    def _find(self, wanted: bytes, start: int) -> int:
        """Where `wanted` comes next; reads on until it does."""
        while (found := self._buffer.find(wanted, start)) < 0:
            start = max(start, len(self._buffer) - len(wanted) + 1)
            self._feed(self._at + MAX_ROW_BYTES)
        return found

    def _feed(self, limit: int) -> None:
        block = next(self._blocks, None)
        if block is None or len(self._buffer) > limit:
            raise NotEditable("the XML of its sheet has no rows, or very long ones")
        self.size += len(block)
        self._buffer += block


class Cells:
    """Finds cells in the XML of rows whose tags have this prefix.

    Each search goes on from where the last one ended: a row of odd XML costs no more than another.
    """

    def __init__(self, prefix: bytes) -> None:
        own = re.escape(prefix)
        self._tag = re.compile(rb"<%bc[\s/>]" % own)
        self._start, self._close = b"<%sc " % prefix, b"</%sc" % prefix
        self._content = re.compile(rb"<%b(?:v|f|is)[\s/>]" % own)
        self._columns: dict[bytes, int] = {}

    def of(self, row: bytes) -> Iterator[Cell]:
        """The cells of a row; one that does not say where it is follows the one before it."""
        column = end = 0
        while (found := self._tag.search(row, end)) is not None:
            start, end = found.start(), self._end(row, found.start())
            column = self._column(row, start) or column + 1
            yield Cell(column, start, end, self._content.search(row, start, end) is not None)

    def last_column(self, row: bytes) -> int | None:
        """The column of a row's last cell, whatever it has; 0 without any, None if it does not say so."""
        start = row.rfind(self._start)
        if start < 0:
            return None if self._tag.search(row) else 0
        return self._column(row, start)

    def last(self, row: bytes) -> Cell | None:
        """The last cell of a row, used or not; None if it does not say where it is."""
        column = self.last_column(row)
        if not column:
            return None
        start = row.rindex(self._start)
        return Cell(column, start, self._end(row, start), is_used=True)

    def last_used(self, row: bytes, known: int) -> int:
        """The last column of a row that is used; `known` if there is none after that one."""
        last = self.last_column(row)
        if last is not None and last <= known:
            return known
        return max(known, 0, *(cell.column for cell in self.of(row) if cell.is_used))

    def _end(self, row: bytes, start: int) -> int:
        """Where the cell that starts at a position ends."""
        try:
            end = row.index(b">", start)
            if row[end - 1] != ord("/"):
                end = row.index(b">", row.index(self._close, end))
        except ValueError:
            raise NotEditable(ODD_CELLS) from None
        return end + 1

    def _column(self, row: bytes, start: int) -> int | None:
        found = PLACE.search(row, start, row.find(b">", start))
        if found is None:
            return None
        column = self._columns.get(found[1])
        if column is None:
            try:
                column = self._columns[found[1]] = column_number(found[1].decode())
            except ValueError:
                raise NotEditable(ODD_CELLS) from None
        return column
