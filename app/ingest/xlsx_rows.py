"""The rows of an XLSX file: the values of its first visible sheet, as JSON knows them.

openpyxl holds one row at a time. python-calamine is seven times as fast, but lays the whole sheet out in
memory, where two cells in far corners take gigabytes; it also reads errors (`#N/A`) as empty cells.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from itertools import count
from typing import IO, Any, BinaryIO
from zipfile import ZipFile, ZipInfo

from app.errors import BadInput

MAX_SHEET_ROWS = 1_048_576  # Excel's own
MAX_UNPACKED_BYTES = 2_000_000_000
MAX_LOADED_BYTES = 256_000_000  # of what openpyxl holds in memory: texts, styles, the list of sheets
MAX_RATIO = 300  # of a packed sheet; a repetitive one of real life reaches 100
MAX_MARKS = 1_000_000  # tags and attributes of one row, which is held in memory: a full one has 200,000
BLOCK = 1_000_000
# Where openpyxl lets go of what it holds: a row of a sheet, a text of the shared ones.
LET_GO = re.compile(rb"<(?:\w{1,40}:)?(?:row|si)[\s/>]")
OLE = b"\xd0\xcf\x11\xe0"  # Excel 97, and today's files with a password


def read_rows(stream: BinaryIO) -> Iterator[list[Any]]:
    """The rows of a seekable `stream`, the header first; trailing empty cells are left out, others are "".

    Numbers and truth values stay what they are, dates become ISO 8601, formulas the values that were saved
    with them. Raises `BadInput` for what is no XLSX file, is encrypted, or unpacks to too much.
    """
    from openpyxl import load_workbook

    _check_archive(stream)
    try:
        workbook = load_workbook(stream, read_only=True, data_only=True, keep_links=False)
    except Exception as error:
        raise _unreadable("the file", error) from error
    try:
        sheet = next((sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"), None)
        if sheet is None:
            raise BadInput("the file has no sheet with cells")
        sheet.reset_dimensions()  # many writers get them wrong, and openpyxl would believe them
        yield from _rows(sheet.iter_rows(values_only=True))
    finally:
        workbook.close()


def _rows(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[Any]]:
    for number in count(1):
        try:
            row = next(rows, None)
        except Exception as error:
            raise _unreadable(f"row {number}", error) from error
        if row is None:
            return
        if number > MAX_SHEET_ROWS:
            raise BadInput(f"the sheet has over {MAX_SHEET_ROWS:,} rows: send CSV or JSONL")
        yield _values(row)


def _values(row: tuple[Any, ...]) -> list[Any]:
    width = len(row)
    while width and row[width - 1] is None:
        width -= 1
    return [_value(cell) for cell in row[:width]]


def _value(cell: Any) -> Any:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell.replace("_x000D_", "\r")  # XML has no other way to say it, and openpyxl leaves it
    if isinstance(cell, int | float):
        return cell
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date().isoformat()
    return cell.isoformat() if isinstance(cell, date | time) else str(cell)


def _check_archive(stream: BinaryIO) -> None:
    """Look at the sizes in the archive's directory; reading stops at them, so they cannot be lied about."""
    stream.seek(0)
    if stream.read(len(OLE)) == OLE:
        raise BadInput("the file is encrypted or of Excel 97: save it as .xlsx without a password")
    try:
        with ZipFile(stream) as archive:
            _check_sizes(archive.infolist())
            for part in archive.infolist():
                with archive.open(part) as content:
                    _check_marks(content)
    except BadInput:
        raise
    except Exception as error:  # `zipfile` says in many ways that it is none
        raise _unreadable("the file", error) from None


def _check_sizes(parts: Sequence[ZipInfo]) -> None:
    unpacked = sum(part.file_size for part in parts)
    loaded = sum(part.file_size for part in parts if _is_loaded(part))
    if unpacked > MAX_UNPACKED_BYTES or loaded > MAX_LOADED_BYTES or any(map(_is_bomb, parts)):
        raise BadInput(f"the file unpacks to {unpacked:,} bytes, which is too much: send CSV or JSONL")


def _check_marks(content: IO[bytes]) -> None:
    """Refuse rows of so many tags that a small file would fill the memory."""
    marks, rest = 0, b""
    while block := content.read(BLOCK):
        text = rest + block
        end = text.rfind(b"<")
        end = len(text) if end < len(text) - 64 else end  # a tag that is cut waits for its other half
        start = 0
        for found in LET_GO.finditer(text, 0, end):
            _refuse_marks(marks + _marks(text, start, found.start()))
            marks, start = 0, found.start()
        marks += _marks(text, start, end)
        _refuse_marks(marks)
        rest = text[end:]


def _marks(text: bytes, start: int, end: int) -> int:
    return text.count(b"<", start, end) + text.count(b"=", start, end)


def _refuse_marks(marks: int) -> None:
    if marks > MAX_MARKS:
        raise BadInput(f"a row of the file has over {MAX_MARKS:,} tags, which is too much: send CSV or JSONL")


def _is_loaded(part: ZipInfo) -> bool:
    return part.filename.endswith((".xml", ".rels")) and not part.filename.startswith("xl/worksheets/")


def _is_bomb(part: ZipInfo) -> bool:
    return part.file_size > 100_000_000 and part.file_size > MAX_RATIO * part.compress_size


def _unreadable(what: str, error: Exception) -> BadInput:
    return BadInput(f"{what} cannot be read as XLSX: {str(error)[:200] or type(error).__name__}")
