"""The wire format of text batches: reads requests, writes jobs and records. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.core.json_text import timestamp
from app.core.reading.answers import answer_text, failure
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from app.errors import BadRequest
from app.ingest import operations
from app.ingest.draft import Defaults, Draft, asking
from app.web.error_shapes import Fault, detail
from models.job import JobStatus
from models.record import RecordStatus

OPERATIONS = ("summarize", "sentiment", "key_points", "questions", "qa")
FAULT_OF_OURS = "Failed to process batch request due to an internal server error."

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """A request to be submitted."""

    label: str | None
    requests: list[Json]
    webhook_url: str | None = None

    def operations(self) -> dict[str, operations.Operation]:
        """The operations that its requests use."""
        return {
            name: operations.shipped()[name] for name in sorted({one["operation"] for one in self.requests})
        }

    def drafts(self, defaults: Defaults) -> Iterator[Draft]:
        for request in self.requests:
            yield asking(request["operation"], _row(request), defaults)


def check_size(body: Any, limit: int) -> None:
    """Raise `BadRequest` for a batch with no requests or too many; the schema checks everything else."""
    requests = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(requests, list):
        return
    if not requests:
        raise BadRequest(f"Batch request list cannot be empty: found 0 requests, give 1 to {limit}.")
    if len(requests) > limit:
        raise BadRequest(
            f"Batch size exceeds maximum limit of {limit} requests (MAX_BATCH_REQUESTS_PER_CALL):"
            f" found {len(requests)}."
        )


def read(loaded: Mapping[str, Any]) -> Batch:
    """The batch of a validated body."""
    return Batch(loaded.get("batch_id"), loaded["requests"], loaded.get("webhook_url"))


def write(view: JobView) -> Json:
    """A batch that has ended, without its results."""
    return {
        "batch_id": view.label or str(view.uid),
        "total_requests": view.total,
        "completed": view.counts.succeeded,
        "failed": view.counts.unanswered,
        "total_processing_time": _seconds(view),
        "timestamp": timestamp(view.ended_at or view.updated_at),
    }


def write_status(view: JobView) -> Json:
    """A batch's current state, without its results."""
    word = status(view)
    return {**write(view), "status": word, "message": _why(view) if word == "FAILED" else None}


def created(view: JobView) -> Json:
    """A batch as it was when it was stored, whatever has begun since."""
    return {
        "batch_id": view.label or str(view.uid),
        "total_requests": view.total,
        "completed": 0,
        "failed": 0,
        "total_processing_time": None,
        "timestamp": timestamp(view.created_at),
        "status": "PENDING",
        "message": None,
        "results": [],
    }


def items(records: Iterable[RecordView]) -> Iterator[Json]:
    """The results of records that have ended, read with their inputs."""
    return map(_item, records)


def status(view: JobView) -> str:
    """This contract's word for a job's status."""
    match view.status:
        case JobStatus.PENDING:
            return "PENDING"
        case JobStatus.RUNNING | JobStatus.PAUSED | JobStatus.CANCELLING:
            return "IN_PROGRESS"
        case JobStatus.COMPLETED:
            return "COMPLETED"
    return "FAILED"


def error(fault: Fault) -> Mapping[str, Any]:
    """An error in this contract's shape."""
    if fault.error_id is not None:
        return {"detail": FAULT_OF_OURS, "error_id": fault.error_id}
    return detail(fault)


def _row(request: Json) -> Json:
    """The names that the templates use, and what is returned with the answer."""
    return {
        "text": request["text"].strip(),
        "question": request.get("question"),
        "options": request.get("options"),
        "user_metadata": request.get("user_metadata"),
    }


def _why(view: JobView) -> str:
    return view.status_reason or f"The batch was {view.status.value}."


def _seconds(view: JobView) -> float | None:
    return None if view.ended_at is None else (view.ended_at - view.created_at).total_seconds()


def _item(record: RecordView) -> Json:
    succeeded = record.status is RecordStatus.SUCCEEDED
    return {
        "request_index": record.idx,
        "status": "completed" if succeeded else "failed",
        "response": _response(record, record.answer) if succeeded and record.answer is not None else None,
        "error": None if succeeded else failure(record),
    }


def _response(record: RecordView, answer: bytes) -> Json:
    asked: Json = json.loads(record.asked or b"{}")
    operation = asked.get("operation") if asked.get("operation") in OPERATIONS else None
    return {
        "operation": operation,
        "success": True,
        **_outcome(operation, answer_text(answer)),
        "metadata": _metadata(record, asked.get("row", {}) if operation else {}),
        "processing_time": None if record.latency_ms is None else record.latency_ms / 1000,
        "timestamp": record.ended_at,
        "cache_hit": False,
    }


def _outcome(operation: str | None, answer: str) -> Json:
    """The answer in its operation's field; a structured one was checked against its schema."""
    found: Json = dict.fromkeys(("result", "sentiment", "key_points", "questions"))
    if operation == "sentiment":
        found["sentiment"] = json.loads(answer)
    elif operation in ("key_points", "questions"):
        found[operation] = json.loads(answer)[operation]
    else:
        found["result"] = answer
    return found


def _metadata(record: RecordView, row: Json) -> Json:
    usage = record.usage or {}
    return {
        "word_count": len(row["text"].split()) if "text" in row else None,
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "user_metadata": row.get("user_metadata"),
    }
