"""The rows of an XLSX file: the values of its first visible sheet, as JSON knows them.

The XML is read by a parser of our own, whose price is counted before it is paid (`app/ingest/xlsx/meter.py`).
openpyxl takes twice as long and makes up every cell that a row leaves out, so that 17 kB cost it ten seconds.
python-calamine is faster still, but lays the whole sheet out in memory, where two cells in far corners take
gigabytes; it also reads errors (`#N/A`) as empty cells.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

from app.errors import BadInput


def read_rows(stream: BinaryIO) -> Iterator[list[Any]]:
    """The rows of a seekable `stream`, the header first; trailing empty cells are left out, others are "".

    Numbers and truth values stay what they are, dates become ISO 8601, formulas the values that were saved
    with them. Raises `BadInput` for what is no XLSX file, is encrypted, or costs too much for its size.
    """
    from app.ingest.xlsx.archive import Archive  # openpyxl, for formats of dates: not needed at startup
    from app.ingest.xlsx.sheet import read_sheet, unreadable
    from app.ingest.xlsx.workbook import read_workbook

    try:
        archive = Archive(stream)
        workbook = read_workbook(archive)
    except BadInput:
        raise
    except Exception as error:  # `zipfile` says in many ways that it is none
        raise unreadable("the file", error) from error
    yield from read_sheet(archive, workbook)
