"""The form of a submitted table, found once it was read, and its workbook kept for the way out."""

from dataclasses import replace
from typing import BinaryIO

from app.core.documents.upload import Upload
from app.errors import NotEditable
from app.ingest.forms.delimited import find_form
from app.ingest.forms.table_form import DELIMITED, PARQUET, WORKBOOK, TableForm
from app.ingest.forms.workbook import find_workbook
from app.ingest.tables import Sheet, size_of
from config import settings

PARQUET_TYPE = "application/vnd.apache.parquet"
MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def find(format: str, stream: BinaryIO, table: Sheet, upload: Upload | None) -> TableForm | None:
    """The form of `table`, which was read from the seekable `stream`.

    A workbook or a Parquet file is put into `upload`, for its results to be added to it; without one nothing
    is stored. Raises `Unavailable` while the object store is away.
    """
    if format in DELIMITED:
        return TableForm(format, delimited=find_form(stream, table.choice))
    if format == PARQUET:
        return _parquet(stream, table, upload)
    if format != WORKBOOK:
        return TableForm(format, plain_because=f"columns can be added to .xlsx, and it is {format.upper()}")
    try:
        workbook = find_workbook(stream, table.sheet, table.header_row)
    except NotEditable as why:
        return TableForm(format, plain_because=str(why))
    if upload is not None:
        workbook = replace(workbook, key=upload.keep(stream, MEDIA_TYPE))
    return TableForm(format, workbook=workbook, rows=table.numbers)


def _parquet(stream: BinaryIO, table: Sheet, upload: Upload | None) -> TableForm:
    """A file that is too large to be kept gets its types from its values."""
    chosen = settings.current()
    size = size_of(stream)
    if upload is None or size > min(chosen.max_workbook_bytes, chosen.max_request_bytes):
        return TableForm(PARQUET)
    return TableForm(PARQUET, kept=upload.keep(stream, PARQUET_TYPE), rows=table.numbers)
