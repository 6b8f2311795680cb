"""Results as a workbook, for spreadsheets: every answer is typed as text and none is a formula.

It is written as it is sent, into a ZIP archive that needs no temporary file, so that it ends with its reader
and leaves nothing behind; libraries write all of it to disk before the first byte. What XLSX cannot hold is
shown by its code, as in `\\u0000`, never dropped in silence.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile

from app.core.reading.layout import Layout, Row
from app.core.reading.xlsx import parts
from app.core.reading.xlsx.cells import cell, with_number

CHUNK = 64_000  # bytes
OFTEN = 1_000  # rows after which what there is is sent, however small it packs
MAX_SHEET_ROWS = 1_048_576  # Excel's own, the header included
MAX_SHEET_BYTES = 1_800_000_000  # unpacked; at 2 GB a part needs extensions that not every reader knows


def xlsx_chunks(layout: Layout, rows: Iterable[Row], *, sheet_rows: int = MAX_SHEET_ROWS) -> Iterator[bytes]:
    """The table as XLSX, in pieces of about 64 kB.

    More rows than a sheet holds, the header included, go on in another one.
    """
    sent, waiting, sheets = _Pieces(), _Waiting(rows), 0
    # A ZIP file is a stream as well: its directory is at its end.
    with ZipFile(sent, "w", ZIP_DEFLATED) as archive:  # type: ignore[call-overload]  # it needs only `write`
        while not sheets or waiting.row is not None:
            sheets += 1
            with archive.open(parts.sheet_name(sheets), "w") as part:
                sheet = _Sheet(part, layout.header, is_first=sheets == 1)
                for _ in _fill(sheet, layout, waiting, sheet_rows):
                    if sent.size >= CHUNK or sheet.line % OFTEN == 0:
                        yield sent.take()
        for name, content in parts.frame(sheets).items():
            archive.writestr(name, content)
    yield sent.take()


class _Waiting:
    """The next row, which may not fit on the sheet any more; None after the last."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = iter(rows)
        self.row = next(self._rows, None)

    def take(self) -> Row:
        row, self.row = self.row, next(self._rows, None)
        assert row is not None
        return row


class _Pieces:
    """Collects what `zipfile` writes until it is taken."""

    def __init__(self) -> None:
        self.size = 0
        self._written: list[bytes] = []

    def write(self, content: bytes) -> int:
        self._written.append(bytes(content))
        self.size += len(content)
        return len(content)

    def flush(self) -> None:
        """Nothing waits."""

    def take(self) -> bytes:
        content = b"".join(self._written)
        self._written.clear()
        self.size = 0
        return content


class _Sheet:
    """A sheet that begins with these names in a frozen row."""

    def __init__(self, part: IO[bytes], names: Sequence[str], *, is_first: bool) -> None:
        self.line = 0  # the last one that was written
        self.size = 0  # bytes
        self._part = part
        self._letters = [parts.column_letters(number) for number in range(len(names))]
        self._put(parts.sheet_head(is_first=is_first))
        self.write(names)

    def write(self, cells: Iterable[Any]) -> None:
        self.line += 1
        line = self.line
        written = [
            cell(f"{letters}{line}", value, date_style=parts.DATE_STYLE)
            for letters, value in zip(self._letters, cells, strict=True)
            if value is not None and value != ""
        ]
        self._put(f'<row r="{line}">{"".join(written)}</row>')

    def close(self) -> None:
        self._put(parts.SHEET_END)

    def _put(self, text: str) -> None:
        content = text.encode()
        self.size += len(content)
        self._part.write(content)


def _fill(sheet: _Sheet, layout: Layout, waiting: _Waiting, sheet_rows: int) -> Iterator[None]:
    """Write rows until there are none or the sheet is full; yields after each."""
    while waiting.row is not None and sheet.line < sheet_rows and sheet.size <= MAX_SHEET_BYTES:
        sheet.write(with_number(layout.cells(waiting.take())))
        yield
    sheet.close()
