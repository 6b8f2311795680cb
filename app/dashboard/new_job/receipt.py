"""What is dropped or pasted on the page, received as a draft."""

import io
from os import SEEK_END
from pathlib import PurePath
from typing import Any, BinaryIO, cast

from flask import Request
from werkzeug.datastructures import FileStorage

from app.core.accounts.api_keys import Caller
from app.core.documents import job_drafts
from app.core.documents.job_drafts import DOCUMENTS, JobDraft, Part
from app.dashboard.new_job import choices, form
from app.errors import BadInput, NoHeader, Refused, TooLarge
from app.ingest import pasted, tables
from app.ingest.previews.tables import read_preview
from app.ingest.sheets.rows import Choice
from app.ingest.tables import read_rows
from app.ingest.values import quoted
from app.web.forms import FORMATS, TYPES, format_of
from config import settings

MOST = 200  # documents at once
AHEAD = 3  # rows that may be blank above a header
WORKBOOKS = ("xlsx", "xls", "xlsb", "ods")
SHEETS = 20  # that may have nothing in them before the first one with rows
OF_DOCUMENTS = (".pdf", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".md", ".docx", ".html", ".htm")


def receive(me: Caller, request: Request) -> JobDraft:
    """Keep the form's file, files or pasted texts as a draft; raises `Refused`."""
    files = [file for file in request.files.getlist("file") if file.filename]
    if not files:
        content = pasted.as_csv(request.form.get("text", ""), request.form.get("parted", pasted.BY_LINES))
        return _keep(me, "csv", [Part("pasted texts.csv", io.BytesIO(content), len(content))])
    parts = [_part(file) for file in files]
    if len(files) > 1 or _is_document(files[0]):
        return _keep(me, DOCUMENTS, _documents(parts))
    return _keep(me, _format(files[0]), parts)


def _format(file: FileStorage) -> str:
    name = quoted(file.filename or "")
    if PurePath(file.filename or "").suffix.lower() not in FORMATS and file.mimetype not in TYPES:
        raise BadInput(f"{name} is in no format that can be read: save it as CSV or XLSX, or as PDF or text")
    try:
        return format_of(file)
    except BadInput as error:
        raise BadInput(f"{name}: {error.message.removeprefix('file: ')}") from None


def _part(file: FileStorage) -> Part:
    content = cast(BinaryIO, file.stream)
    size = content.seek(0, SEEK_END)
    content.seek(0)
    if not size:
        raise BadInput(f"{quoted(file.filename or '')} is empty: choose another file")
    limit = settings.current().max_upload_bytes
    if size > limit:
        raise TooLarge(
            f"{quoted(file.filename or '')} has {size:,} bytes, and the limit is {limit:,}"
            " (MAX_UPLOAD_BYTES): split it"
        )
    return Part(file.filename or "file", content, size)


def _is_document(file: FileStorage) -> bool:
    return PurePath(file.filename or "").suffix.lower() in OF_DOCUMENTS


def _documents(parts: list[Part]) -> list[Part]:
    if len(parts) > MOST:
        raise BadInput(f"choose up to {MOST} documents at once; {len(parts):,} were dropped")
    tables = [part.name for part in parts if PurePath(part.name).suffix.lower() in FORMATS]
    if len(parts) > 1 and (tables := [name for name in tables if not name.lower().endswith(".txt")]):
        raise BadInput(f"{quoted(tables[0])} is a table: drop one table alone, or documents together")
    return parts


def _keep(me: Caller, format: str, parts: list[Part]) -> JobDraft:
    is_table = format in tables.FORMATS
    fields: dict[str, Any] = _understood(format, parts[0].content) if is_table else {"ask": form.PROMPT}
    fields["model"] = choices.first_model(settings.current())
    return job_drafts.keep(me.tenant_id, me.tenant_uid, me.user_id, format=format, parts=parts, fields=fields)


def _understood(format: str, content: BinaryIO) -> dict[str, Any]:
    """What a table begins with: of a workbook, that of the first sheet with rows, which may have a cover."""
    first, has_rows = _of_sheet(format, content)
    if format not in WORKBOOKS or has_rows:
        return first
    for name in read_rows(format, content).shown[1:SHEETS]:
        found, has_rows = _of_sheet(format, content, name)
        if has_rows:
            return {**found, "sheet": name}
    return first


def _of_sheet(format: str, content: BinaryIO, sheet: str | None = None) -> tuple[dict[str, Any], bool]:
    """What it begins with, its header below a title or blank rows; little of one that cannot be read.

    And whether rows are below the header, as far as one can tell.
    """
    for number in range(1, AHEAD + 1):
        try:
            found = read_preview(format, content, Choice(sheet=sheet, header_row=number))
        except NoHeader:
            continue
        except Refused:  # and so it would be for any header
            return {"ask": form.PROMPT}, True
        if found.better_header is None:
            return form.first(found), bool(found.rows)
        try:
            better = read_preview(format, content, Choice(sheet=sheet, header_row=found.better_header))
        except Refused:  # its page says why that row cannot be the header
            return {"ask": form.PROMPT, "header_row": str(found.better_header)}, True
        return form.first(better), True
    return {"ask": form.PROMPT}, False
