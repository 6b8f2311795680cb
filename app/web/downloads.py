"""Results as a file download: streamed, whatever their size."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePath
from urllib.parse import quote

from flask import Response

from app.core.reading.csv_export import Row, csv_lines
from app.core.reading.jobs import JobView
from app.core.reading.xlsx_export import xlsx_chunks
from app.web import capacity
from app.web.blueprint import Blueprint, View

TYPES = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv",  # a text: its charset is added to the response
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
TABLES = {"csv": csv_lines, "xlsx": xlsx_chunks}


def documented(blp: Blueprint, *formats: str) -> Callable[[View], View]:
    """Document that a view responds with a file in one of `formats`."""

    def mark(view: View) -> View:
        for format in formats:
            content = {"type": "string", **({"format": "binary"} if format == "xlsx" else {})}
            view = blp.response(200, content, content_type=TYPES[format])(view)
        return view

    return mark


def table(view: JobView, format: str, columns: Sequence[str], rows: Iterable[Row]) -> Response:
    """The job's results as a table: `csv` or `xlsx`."""
    return download(view, format, TABLES[format](columns, rows))


def download(view: JobView, format: str, chunks: Iterator[bytes]) -> Response:
    """The job's results as a file of one of `TYPES`."""
    return capacity.stream(chunks, TYPES[format], {"Content-Disposition": _disposition(view, format)})


def _disposition(view: JobView, format: str) -> str:
    """The file's name, and for old clients the same name in plain ASCII."""
    stem = PurePath(view.name or "").stem or f"job-{view.uid}"
    name = f"{stem}.results.{format}"
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
