"""The wire format of chat batches: writes jobs and results. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.core.json_text import text, timestamp
from app.core.money import pricing
from app.core.reading import table_rows
from app.core.reading.answers import answer_text, failure
from app.core.reading.jobs import JobView
from app.core.reading.layout import Row
from app.core.reading.records import RecordView
from app.ingest.values import as_text
from app.providers import registry
from app.services.chat_jobs import OPERATION, Columns, find_columns
from app.web.error_shapes import Fault
from models.base import record_uid
from models.job import JobStatus
from models.record import RecordStatus

TOLD = 10  # errors in an invalid sheet that the response lists

Json = dict[str, Any]


def error(fault: Fault) -> Json:
    """An error in this contract's shape."""
    found: Json = {"error": _message(fault)}
    return found if fault.error_id is None else {**found, "error_id": fault.error_id}


def write_status(view: JobView) -> Json:
    """A batch's current state."""
    return {
        "batchId": str(view.uid),
        "status": status(view),
        "totalItems": view.total,
        "processedItems": view.counts.succeeded,
        "failedItems": view.counts.unanswered,
        "skippedRows": view.skipped_rows,
        "createdAt": timestamp(view.created_at),
        "updatedAt": timestamp(view.updated_at),
        "name": view.name,
        "aiProvider": None if view.model == registry.NOBODY else registry.of(view.model).name,
        "searchProvider": view.metadata.get("searchProvider"),
        "pageLanguage": view.metadata.get("pageLanguage"),
    }


def status(view: JobView) -> str:
    """This contract's word for a job's status."""
    match view.status:
        case JobStatus.PENDING:
            return "queued"
        case JobStatus.RUNNING | JobStatus.PAUSED | JobStatus.CANCELLING:
            return "processing"
        case JobStatus.CANCELLED | JobStatus.FAILED:
            return view.status.value
    return "processed" if view.counts.succeeded == view.total else "completed_with_errors"


def results(view: JobView, columns: Sequence[str], records: Iterable[RecordView]) -> Iterator[Json]:
    """The results of records that have ended, read with their inputs, in row order."""
    known = find_columns(columns)
    for record in records:
        yield _result(view, known, record)


def rows(records: Iterable[RecordView]) -> Iterator[Row]:
    """The same as rows of the sheet, the answers next to its own cells."""
    for record in records:
        error = None if record.status is RecordStatus.SUCCEEDED else failure(record)
        yield replace(table_rows.row(record), status=_word(record), error=error)


def _result(view: JobView, columns: Columns, record: RecordView) -> Json:
    asked: Json = json.loads(record.asked or b"{}")
    cells = asked.get("row", {}) if asked.get("operation") == OPERATION else None
    return {
        "row": None if cells is None else int(text(record.custom_id) or 0),
        "chatId": _cell(cells, columns.chat),
        "REDACTEDQUESTION": _cell(cells, columns.question),
        "URL": _cell(cells, columns.page),
        "status": _word(record),
        "answer": None if record.answer is None else answer_text(record.answer),
        "error": None if record.status is RecordStatus.SUCCEEDED else failure(record),
        "interactionId": record_uid(view.uid, record.idx),
        "usage": _usage(record),
        "cost": None if record.cost is None else float(pricing.dollars(record.cost)),
    }


def _cell(cells: Mapping[str, Any] | None, column: str | None) -> str | None:
    """The text of a cell; None for an empty one."""
    return None if cells is None or column is None else as_text(cells.get(column)).strip() or None


def _word(record: RecordView) -> str:
    return "processed" if record.status is RecordStatus.SUCCEEDED else "failed"


def _usage(record: RecordView) -> Json | None:
    if record.usage is None or record.answer is None:
        return None
    tools = (json.loads(record.answer).get("usage") or {}).get("server_tool_use") or {}
    return {**record.usage, "web_search_requests": tools.get("web_search_requests") or 0}


def _message(fault: Fault) -> str:
    """One sentence; for several errors in an input, the first ones, each with its position."""
    problems = fault.details.get("problems", [])
    if len(problems) < 2:
        return fault.message
    listed = "; ".join(f"{one['where']}: {one['message']}" for one in problems[:TOLD])
    more = len(problems) + fault.details.get("more", 0) - TOLD
    return f"{listed}; and {more} more" if more > 0 else listed
