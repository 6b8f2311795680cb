"""The wire format of analysis batches: reads records, writes jobs and results. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.core.json_text import timestamp
from app.core.reading.answers import answer_text, failure
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from app.errors import BadInput
from app.ingest import operations
from app.ingest.draft import Defaults, Draft, Problems, asking
from app.web.error_shapes import detail
from models.job import JobStatus
from models.record import RecordStatus

OPERATION = "analyze"

Json = dict[str, Any]

error = detail  # the shape of an error


def operation() -> dict[str, operations.Operation]:
    return {OPERATION: operations.shipped()[OPERATION]}


def drafts(records: Sequence[Json], defaults: Defaults) -> list[Draft]:
    """Raises `BadInput` naming every invalid record."""
    problems, found = Problems(), []
    for index, record in enumerate(records):
        try:
            found.append(asking(OPERATION, _row(record), defaults))
        except BadInput as refused:
            problems.add(f"records[{index}]", refused.message, ("body", "records", index))
    problems.refuse()
    return found


def write_accepted(view: JobView) -> Json:
    return {
        "job_id": str(view.uid),
        "status": "accepted",  # which is what the call did, whatever has begun since
        "total_records": view.total,
        "message": f"{view.total} records were accepted: request the status for their results.",
    }


def write_listed(view: JobView, tokens: int) -> Json:
    """A job in the list of jobs."""
    return {
        "job_id": str(view.uid),
        "status": status(view),
        "total_records": view.total,
        "completed_count": view.counts.succeeded,
        "failed_count": view.counts.unanswered,
        "total_tokens_used": tokens,
        "created_at": timestamp(view.created_at),
        "updated_at": timestamp(view.updated_at),
    }


def write_status(view: JobView, tokens: int, dollars: str | None) -> Json:
    """A job's status and cost, without its results."""
    return {
        **write_listed(view, tokens),
        "message": _message(view),
        "progress_percent": _percent(view),
        "estimated_cost": None if dollars is None else float(dollars),
    }


def results(records: Iterable[RecordView]) -> Iterator[Json]:
    """The results of records that have ended."""
    return map(_result, records)


def write_response(answer: bytes, usage: Mapping[str, int] | None) -> Json:
    """An analysis; an answer that is not one becomes the summary."""
    found = _analysis(answer_text(answer))
    return {
        "summary": found["summary"],
        "insights": found["insights"],
        "next_actions": found["next_actions"],
        "metadata": {
            "confidence": found["confidence"],
            "model_version": json.loads(answer).get("model"),
            "tokens_used": None if usage is None else sum(usage.values()),
        },
    }


def status(view: JobView) -> str:
    """This contract's word for a job's status."""
    match view.status:
        case JobStatus.PENDING:
            return "accepted"
        case JobStatus.RUNNING | JobStatus.PAUSED | JobStatus.CANCELLING:
            return "processing"
        case JobStatus.COMPLETED:
            return "completed"
    return "failed"


def _row(record: Json) -> Json:
    """The names that the template uses."""
    return {
        "data": (record.get("structured_data") or {}).get("data"),
        "notes": "\n".join(f"- {note.strip()}" for note in record["notes"] if note.strip()),
    }


def _percent(view: JobView) -> float:
    """Truncated, not rounded: 100 means that every record has ended."""
    ended = view.total - view.counts.unended
    return ended * 10_000 // view.total / 100 if view.total else 100.0


def _message(view: JobView) -> str:
    if status(view) == "failed":
        return view.status_reason or f"The batch was {view.status.value}."
    if view.status is JobStatus.PAUSED:
        return view.status_reason or "The batch is paused."
    return f"{view.counts.succeeded} of {view.total} records succeeded, {view.counts.unanswered} failed."


def _result(record: RecordView) -> Json:
    succeeded = record.status is RecordStatus.SUCCEEDED
    return {
        "index": record.idx,
        "success": succeeded,
        "response": write_response(record.answer, record.usage) if succeeded and record.answer else None,
        "error": None if succeeded else failure(record),
    }


def _analysis(text: str) -> Json:
    """The fields of an analysis; only a summary for records submitted through another contract."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, dict) and {"summary", "insights", "next_actions", "confidence"} <= found.keys():
        return found
    return {"summary": text, "insights": None, "next_actions": None, "confidence": None}
