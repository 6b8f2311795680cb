"""The rows of an XLSX file: one of its sheets as it is shown, in values that JSON knows.

The XML is read by a parser of our own, whose price is counted before it is paid (`app/ingest/xlsx/meter.py`).
openpyxl takes twice as long and makes up every cell that a row leaves out, so that 17 kB cost it ten seconds.
python-calamine is faster still, but lays the whole sheet out in memory, where two cells in far corners take
gigabytes; it tells neither formats of numbers nor hidden rows, and reads errors (`#N/A`) and formulas without
a value as empty cells.
"""

from typing import BinaryIO
from zipfile import BadZipFile

from app.errors import BadInput
from app.ingest.sheets.rows import EVERYTHING, Choice, Source


def read_rows(stream: BinaryIO, choice: Choice = EVERYTHING) -> Source:
    """The rows of the chosen sheet of a seekable `stream`.

    Numbers are as the sheet shows them, truth values stay what they are, dates become ISO 8601, formulas the
    values that were saved with them. Raises `BadInput` for what is no XLSX file, is encrypted or lacks the
    sheet, and, also while rows are read, for what costs too much for its size.
    """
    from app.ingest.xlsx.archive import Archive  # openpyxl, for formats of dates: not needed at startup
    from app.ingest.xlsx.sheet import read_sheet, unreadable
    from app.ingest.xlsx.workbook import read_workbook

    try:
        archive = Archive(stream)
        workbook = read_workbook(archive, choice.sheet)
    except BadInput:
        raise
    except BadZipFile as error:
        raise BadInput(
            f"the file cannot be read as XLSX: it is cut short or damaged ({error}): copy or save it again"
        ) from error
    except Exception as error:  # `zipfile` says in many ways that it is none
        raise unreadable("the file", error) from error
    source = Source(iter(()), workbook.name, workbook.names, workbook.shown)
    source.is_uncalculated, source.is_unstyled = workbook.is_uncalculated, workbook.is_unstyled
    source.rows = read_sheet(archive, workbook, source, choice.header_row)
    return source
