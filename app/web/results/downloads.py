"""Results as a file download: streamed, whatever their size."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from flask import Response

from app.core.reading.csv_export import PLAIN, csv_lines
from app.core.reading.files.json_export import json_chunks
from app.core.reading.jobs import JobView
from app.core.reading.layout import Layout, Row
from app.core.reading.xlsx.export import xlsx_chunks
from app.ingest.forms.delimited import Delimited
from app.web import capacity
from app.web.blueprint import Blueprint, View
from app.web.capacity import Seat

TYPES = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv",  # a text: its charset is added to the response
    "tsv": "text/tab-separated-values",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
BINARY = ("xlsx", "parquet")
MACROS = "application/vnd.ms-excel.sheet.macroEnabled.12"  # of an .xlsm file
PLAIN_TABLES = {"csv": PLAIN, "tsv": replace(PLAIN, separator="\t")}
WARNING = "Penstock-Warning"  # the response header that says in what the file is not as it was asked for
# Names of encodings on the web, where Python's own are not known to other programs.
CHARSETS = {
    "utf-16-le": "utf-16",
    "utf-16-be": "utf-16",
    "utf-32-le": "utf-32",
    "utf-32-be": "utf-32",
    "cp932": "windows-31j",
    "mac_roman": "macintosh",
    "iso8859_15": "iso-8859-15",
    "cp850": "ibm850",
    "cp437": "ibm437",
}


def documented(blp: Blueprint, *formats: str) -> Callable[[View], View]:
    """Document that a view responds with a file in one of `formats`."""

    def mark(view: View) -> View:
        for format in formats:
            view = blp.response(200, _content(format), content_type=TYPES[format])(view)
        return view

    return mark


def _content(format: str) -> dict[str, Any]:
    if format == "json":
        return {"type": "array", "items": {"type": "object"}}
    return {"type": "string", **({"format": "binary"} if format in BINARY else {})}


def table(
    view: JobView,
    format: str,
    layout: Layout,
    rows: Iterable[Row],
    *,
    form: Delimited | None = None,
    raw: bool = False,
    warning: str | None = None,
    seat: Seat | None = None,
) -> Response:
    """The job's results as a table: `csv` or `tsv`, in `form` if it is given, a new `xlsx`, or `json`.

    `raw`: cells that a spreadsheet would evaluate stay as they are.
    """
    if format == "json":
        return download(view, format, json_chunks(layout, rows), warning=warning, seat=seat)
    if format not in PLAIN_TABLES:
        return download(view, format, xlsx_chunks(layout, rows), warning=warning, seat=seat)
    form = form or PLAIN_TABLES[format]
    content_type = f"{TYPES[format]}; charset={charset(form.encoding)}"
    chunks = csv_lines(layout, rows, form, raw=raw)
    return download(view, format, chunks, content_type=content_type, warning=warning, seat=seat)


def download(
    view: JobView,
    ending: str,
    chunks: Iterator[bytes],
    *,
    content_type: str | None = None,
    warning: str | None = None,
    seat: Seat | None = None,
) -> Response:
    """The job's results as a file whose name has this ending: one of `TYPES`, unless `content_type` is given.

    `warning` says in what it is not the file that was asked for.
    """
    headers = {"Content-Disposition": _disposition(view, ending)}
    if content_type is not None:
        headers["Content-Type"] = content_type
    if warning is not None:
        headers[WARNING] = warning
    return capacity.stream(chunks, None if content_type else TYPES[ending], headers, seat)


def charset(encoding: str) -> str:
    """The name of one of Python's encodings on the web."""
    name = CHARSETS.get(encoding, encoding)
    return f"windows-{name[2:]}" if name.startswith("cp125") else name.replace("_", "-")


def _disposition(view: JobView, ending: str) -> str:
    """The file's name, and for old clients the same name in plain ASCII."""
    stem = PurePath(view.name or "").stem or f"job-{view.uid}"
    name = f"{stem}.results.{ending}"
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
