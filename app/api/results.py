"""A job's results as a file: streamed page by page, whatever their size."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from flask import Response

from app import seats
from app.api.blueprint import Blueprint
from app.api.inputs import ResultQuery
from app.auth import needs
from app.contract import find_job, with_content
from app.core import lines, pages, sheets
from app.core.exports import Row, csv_lines, xlsx_chunks
from app.core.keys import READ
from app.core.pages import Page
from app.core.views import JobView
from models.session import reading

TYPES = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

TABLES = {"csv": csv_lines, "xlsx": xlsx_chunks}

blp = Blueprint("results", "The results of a job as a file.")


@blp.route("/jobs/<job_id>/results", methods=["GET"])
@needs(READ, 404, 410, 503)
@blp.arguments(ResultQuery, location="query")
@blp.response(200, {"type": "string"}, content_type=TYPES["jsonl"])
def get_results(query: dict[str, Any], job_id: str) -> Response:
    """Download what has ended.

    One JSON object a line, as under `/records`; or the table that the job came as, its answers in columns
    beside its own. Before the end of the job it is what has ended so far.
    """
    view = with_content(find_job(job_id))
    with reading() as session:
        columns = sheets.columns(session, view.id)
    format, order = query["format"], query["order"]
    chunks = _jsonl(view, order) if format == "jsonl" else TABLES[format](columns, _rows(view, order))
    return seats.stream(chunks, TYPES[format], {"Content-Disposition": _disposition(view, format)})


def _jsonl(view: JobView, order: str) -> Iterator[bytes]:
    for page in _pages(view, order, inputs=False):
        yield b"".join(lines.line(view.uid, record) + b"\n" for record in page.records)


def _rows(view: JobView, order: str) -> Iterator[Row]:
    for page in _pages(view, order, inputs=True):
        yield from map(sheets.row, page.records)


def _pages(view: JobView, order: str, *, inputs: bool) -> Iterator[Page]:
    """Every record that has ended, once. Nothing of the database is held between two pages."""
    if order == "input":
        yield from pages.walk(partial(pages.by_index, words=pages.ENDED_WORDS, inputs=inputs), view)
    else:
        yield from pages.walk(partial(pages.by_completion, inputs=inputs), view)
        yield from pages.walk(partial(pages.never_asked, inputs=inputs), view)


def _disposition(view: JobView, format: str) -> str:
    """The name of the file, and for old clients the same in letters that cannot be misread."""
    stem = PurePath(view.name or "").stem or f"job-{view.uid}"
    name = f"{stem}.results.{format}"
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
