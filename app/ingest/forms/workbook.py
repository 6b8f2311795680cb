"""A workbook as it came: where its results can be added, and whether they can."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from os import SEEK_END
from typing import BinaryIO

from app.errors import NotEditable
from app.ingest.sheets.rows import NO_HEADER
from app.ingest.xlsx.archive import Archive
from app.ingest.xlsx.coordinates import MAX_COLUMNS, column_number
from app.ingest.xlsx.sheet_xml import Cells, SheetXml
from config import settings

ROOM = 16  # columns that the answers may take
MAX_SHEET_BYTES = 500_000_000  # unpacked: it is read and packed again with every download
TYPES = "[Content_Types].xml"


@dataclass(frozen=True, slots=True)
class Workbook:
    """What is known of it besides its bytes. Rows and columns are numbered from 1."""

    part: str  # the sheet that was read, as the archive names it
    header_row: int
    last_column: int  # the last one that is used
    sheet_bytes: int  # unpacked
    has_macros: bool
    key: str = ""  # where its bytes are in the object store


def find_workbook(stream: BinaryIO, sheet: str | None, header_row: int) -> Workbook:
    """What is known of the workbook in a seekable `stream`, whose sheet of this name was read before.

    Raises `NotEditable` if columns cannot be added to its sheet.
    """
    from app.ingest.xlsx.workbook import find_sheet  # openpyxl, for formats of dates: not needed at startup

    if header_row == NO_HEADER:
        raise NotEditable("it has no header, where their columns would be named")
    chosen, size = settings.current(), stream.seek(0, SEEK_END)
    limit = min(chosen.max_workbook_bytes, chosen.max_request_bytes)
    if size > limit:
        raise NotEditable(f"it has {size:,} bytes, and the limit is {limit:,} (MAX_WORKBOOK_BYTES)")
    archive = Archive(stream)
    part = find_sheet(archive, sheet)
    xml = SheetXml(archive.blocks(part))
    last = _last_column(xml, header_row)
    if last + ROOM > MAX_COLUMNS:
        raise NotEditable(f"the last of the {MAX_COLUMNS:,} columns that a sheet can have are used")
    return Workbook(part, header_row, last, xml.size, _has_macros(archive))


def _last_column(sheet: SheetXml, header_row: int) -> int:
    """The last column that is used in the header or below it; what is above it is in nobody's way."""
    cells, last = Cells(sheet.prefix), 0
    for number, row in sheet.rows():
        if sheet.size > MAX_SHEET_BYTES:
            raise NotEditable(f"its sheet has over {MAX_SHEET_BYTES:,} bytes, unpacked")
        if number >= header_row:
            last = cells.last_used(row, last)
    return max([last, *(column for column, bottom in _merged(sheet) if bottom >= header_row)])


def _merged(sheet: SheetXml) -> Iterator[tuple[int, int]]:
    """The last column and the last row of each group of merged cells, which are listed after the rows."""
    group = re.compile(
        rb"<%bmergeCell\s[^>]*?\bref\s*=\s*[\"'][^\"']*?([A-Z]{1,3})(\d{1,7})[\"']" % re.escape(sheet.prefix)
    )
    rest = b""
    for block in sheet.tail():
        read, tag, rest = (rest + block).rpartition(b"<")
        rest = (tag + rest)[-1_000:]  # a tag of a group is never longer, and others may be of any length
        for found in group.finditer(read):
            yield column_number(found[1].decode()), int(found[2])


def _has_macros(archive: Archive) -> bool:
    return any(b"macroEnabled" in block for block in archive.blocks(TYPES))
