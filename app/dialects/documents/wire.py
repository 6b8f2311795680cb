"""The wire format of document jobs: reads documents, writes jobs and progress. Pure."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from app.core.json_text import timestamp
from app.core.reading.answers import failure
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from app.ingest import documents
from app.ingest.documents import Document
from app.ingest.draft import Defaults, Draft
from app.ingest.json_pieces import Path
from app.web.error_shapes import Fault, detail
from models.job import JobStatus
from models.record import RecordStatus

STATUSES = ("pending", "processing", "completed", "failed", "cancelled")
_EVENT_ID = re.compile(r"(\d{1,18})(-cancel|-complete)?", re.ASCII)

Json = dict[str, Any]


class Place(NamedTuple):
    """A reader's position: the document that ended as number `seq`, and whether it has read the job's end."""

    seq: int = 0
    cancel: bool = False


def is_document(path: Path) -> bool:
    """Whether the string at `path` of a request is a document's content."""
    match path:
        case ("documents", int(), "content"):
            return True
    return False


def drafts(asked: Json, defaults: Defaults) -> Iterator[Draft]:
    """A job's documents after validation. One that is invalid, or that the model cannot take, fails alone."""
    for one in asked["documents"]:
        document = Document.of(one["content"], one["filename"], one["metadata"], asked.get("collection"))
        try:
            yield documents.draft(document, defaults)
        except ValueError as error:
            yield documents.draft(replace(document, fault=str(error)), defaults)


def write(view: JobView, tenant: uuid.UUID) -> Json:
    """A job."""
    counts = view.counts
    return {
        "job_id": str(view.uid),
        "tenant_id": str(tenant),
        "status": status(view),
        "total_documents": view.total,
        "processed_count": counts.succeeded,
        "failed_count": counts.unanswered,
        "created_at": timestamp(view.created_at),
        "updated_at": timestamp(view.updated_at),
        "collection": _collection(view),
        "priority": view.priority,
    }


def created(view: JobView, tenant: uuid.UUID) -> Json:
    """A job as it was when it was stored, whatever has begun since."""
    counts = {"processed_count": 0, "failed_count": 0}
    return write(view, tenant) | counts | {"status": "pending", "updated_at": timestamp(view.created_at)}


def status(view: JobView) -> str:
    """This contract's word for a job's status: `cancelled` from the call that cancelled it."""
    match view.status:
        case JobStatus.PENDING:
            return "pending"
        case JobStatus.CANCELLING if view.closed_as == JobStatus.CANCELLED:
            return "cancelled"
        case JobStatus.RUNNING | JobStatus.PAUSED | JobStatus.CANCELLING:
            return "processing"
        case JobStatus.CANCELLED:
            return "cancelled"
        case JobStatus.COMPLETED if view.counts.succeeded == view.total:
            return "completed"
    return "failed"


def error(fault: Fault) -> Mapping[str, Any]:
    """An error in this contract's shape."""
    return detail(fault)


# --- the stream


def place(last_event_id: str, newest: int) -> Place | None:
    """The position at which a reader resumes; None for a new reader, or for an id that is not valid."""
    found = _EVENT_ID.fullmatch(last_event_id)
    if found is None or int(found[1]) > newest:
        return None
    return Place(int(found[1]), cancel=found[2] is not None)


def start(view: JobView) -> bytes:
    return _message("0", _event(view, "start", "Job started", timestamp(view.started_at)))


def unsent(view: JobView, record: RecordView) -> bytes:
    """That one document was closed with its job; who resumes from here is told of all of these again."""
    return _message(str(view.seq), _outcome(view, record) | {"timestamp": timestamp(view.ended_at)})


def outcome(view: JobView, record: RecordView) -> bytes:
    """The outcome of one document."""
    return _message(str(record.seq), _outcome(view, record))


def _outcome(view: JobView, record: RecordView) -> Json:
    succeeded = record.status is RecordStatus.SUCCEEDED
    return _event(
        view,
        "progress" if succeeded else "fail",
        "Processed" if succeeded else failure(record),
        record.ended_at,
        document_index=record.idx,
        filename=_filename(record),
    )


def cancel(view: JobView) -> bytes:
    event = _event(view, "cancel", view.status_reason or "Job cancelled by user", timestamp(view.ended_at))
    return _message(f"{view.seq}-cancel", event)


def complete(view: JobView) -> bytes:
    """The last message: how the job has ended."""
    word = status(view)
    event = _event(view, "complete", word, timestamp(view.ended_at)) | {"status": word}
    return _message(f"{view.seq}-complete", event, "complete")


def _event(
    view: JobView,
    kind: str,
    message: str,
    time: str | None,  # ISO 8601
    document_index: int | None = None,
    filename: str | None = None,
) -> Json:
    return {
        "job_id": str(view.uid),
        "event_type": kind,
        "document_index": document_index,
        "filename": filename,
        "message": message,
        "timestamp": time,
    }


def _message(id: str, event: Json, name: str = "progress") -> bytes:
    return f"id: {id}\nevent: {name}\ndata: {json.dumps(event)}\n\n".encode()


def _filename(record: RecordView) -> str | None:
    document = documents.read(record.asked or b"")
    return None if document is None else document.filename


def _collection(view: JobView) -> str | None:
    found = view.metadata.get("collection")
    return found if isinstance(found, str) else None
