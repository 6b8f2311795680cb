"""A job's results as a file: streamed page by page, whatever their size."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from flask import Response

from app.api.blueprint import Blueprint
from app.api.request_schemas import ResultQuery
from app.core.accounts.api_keys import READ
from app.core.reading import record_json, records, table_rows
from app.core.reading.csv_export import Row
from app.core.reading.jobs import JobView
from app.core.reading.records import Page
from app.web.auth import needs
from app.web.downloads import documented, download, table
from app.web.job_lookup import find_job, with_content
from models.session import reading

blp = Blueprint("results", "The results of a job as a file.")


@blp.route("/jobs/<job_id>/results", methods=["GET"])
@needs(READ, 404, 410, 503)
@blp.arguments(ResultQuery, location="query")
@documented(blp, "jsonl", "csv", "xlsx")
def get_results(query: dict[str, Any], job_id: str) -> Response:
    """Download the records that have ended.

    One JSON object per line, as under `/records`; or the table that was submitted, with the answers in
    additional columns. Before the end of the job, the file has what has ended so far.
    """
    view = with_content(find_job(job_id))
    with reading() as session:
        columns = table_rows.columns(session, view.id)
    format, order = query["format"], query["order"]
    if format == "jsonl":
        return download(view, format, _jsonl(view, order))
    return table(view, format, columns, _rows(view, order))


def _jsonl(view: JobView, order: str) -> Iterator[bytes]:
    for page in _pages(view, order, inputs=view.has_documents):
        yield b"".join(record_json.line(view.uid, record) + b"\n" for record in page.records)


def _rows(view: JobView, order: str) -> Iterator[Row]:
    for page in _pages(view, order, inputs=True):
        yield from map(table_rows.row, page.records)


def _pages(view: JobView, order: str, *, inputs: bool) -> Iterator[Page]:
    """Every record that has ended, once. No connection or transaction is held between two pages."""
    if order == "input":
        yield from records.walk(partial(records.by_index, words=records.ENDED_WORDS, inputs=inputs), view)
    else:
        yield from records.walk(partial(records.by_completion, inputs=inputs), view)
        yield from records.walk(partial(records.never_asked, inputs=inputs), view)
