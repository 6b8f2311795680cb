"""The rows of an XLSX file: the values of its first visible sheet, as JSON knows them."""

from collections.abc import Iterator
from datetime import date, datetime, time
from itertools import count
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile, ZipInfo

from app.errors import BadInput

MAX_SHEET_ROWS = 1_048_576  # Excel's own
MAX_UNPACKED_BYTES = 2_000_000_000
MAX_LOADED_BYTES = 256_000_000  # of what openpyxl holds in memory: texts, styles, the list of sheets
MAX_RATIO = 300  # of a packed sheet; a repetitive one of real life reaches 100
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
            parts = archive.infolist()
    except (BadZipFile, ValueError, NotImplementedError) as error:
        raise _unreadable("the file", error) from None
    unpacked = sum(part.file_size for part in parts)
    loaded = sum(part.file_size for part in parts if _is_loaded(part))
    if unpacked > MAX_UNPACKED_BYTES or loaded > MAX_LOADED_BYTES or any(map(_is_bomb, parts)):
        raise BadInput(f"the file unpacks to {unpacked:,} bytes, which is too much: send CSV or JSONL")


def _is_loaded(part: ZipInfo) -> bool:
    return part.filename.endswith((".xml", ".rels")) and not part.filename.startswith("xl/worksheets/")


def _is_bomb(part: ZipInfo) -> bool:
    return part.file_size > 100_000_000 and part.file_size > MAX_RATIO * part.compress_size


def _unreadable(what: str, error: Exception) -> BadInput:
    return BadInput(f"{what} cannot be read as XLSX: {str(error)[:200] or type(error).__name__}")
