"""Batches and files as this contract writes them: our states, times and errors in its terms. Pure."""

import datetime as dt
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from app.core import batch_ids
from app.core.json_text import encode, on_one_line, text
from app.core.reading.answers import reason
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from app.errors import BadInput
from app.ingest.values import to_json
from app.ingest.whole.requests import MESSAGES
from app.providers import refusals, registry, shapes
from app.web import error_shapes
from models.base import record_uid
from models.file import File, FileBatch
from models.job import JobStatus
from models.record import RecordStatus

Json = dict[str, Any]

OUTPUT, ERRORS, INPUT = "output", "error", "input"  # the files that every batch has, whoever made it
OF_BATCHES = "batch_output"  # the purpose of output and error files
WINDOW = "24h"  # of a batch that says nothing else
CHAT = "/v1/chat/completions"
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
STATUSES = (
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled",
)  # fmt: skip
EXPIRED = "This request could not be executed before the completion window expired."
CANCELLED = "This request was not executed: its batch was cancelled before it was sent."

# What a provider's refusal had as its status, by its type, where the status was not kept.
_STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "unprocessable_entity_error": 422,
}
_FILE = re.compile(rf"file-([0-9a-f]{{32}})(?:-({OUTPUT}|{ERRORS}|{INPUT}))?")
error = error_shapes.openai


class FileId(NamedTuple):
    """What an id of a file names: one that was uploaded, or a file that belongs to the batch `uid`."""

    uid: uuid.UUID
    of_batch: str | None = None  # OUTPUT, ERRORS or INPUT


def file_id(uid: uuid.UUID, of_batch: str | None = None) -> str:
    return f"file-{uid.hex}" + (f"-{of_batch}" if of_batch else "")


def read_file_id(name: str) -> FileId | None:
    """What `name` names; None for what is no id of a file."""
    found = _FILE.fullmatch(name)
    return None if found is None else FileId(uuid.UUID(found[1]), found[2])


def wrong_after(message: str) -> BadInput:
    """The refusal of a place in a list that there is not."""
    return BadInput.of_field("after", message, location="query")


def file(found: File) -> Json:
    """A file that was uploaded."""
    return _file(
        file_id(found.uid), found.name, found.bytes, found.purpose, found.created_at, found.expires_at
    )


def file_of_batch(view: JobView, kind: str, size: int, name: str, expires_at: dt.datetime | None) -> Json:
    """A batch's own file; `size` is its bytes now."""
    made_at = view.ended_at or view.created_at
    return _file(file_id(view.uid, kind), name, size, purpose(kind), made_at, expires_at)


def purpose(kind: str) -> str:
    """That of a batch's own file."""
    return "batch" if kind == INPUT else OF_BATCHES


def batch(view: JobView, terms: FileBatch | None, extras: Mapping[str, Any]) -> Json:
    """A batch; `extras` are what only Penstock tells."""
    word, ended, counts = status(view), view.ended_at, view.counts
    given = None if terms is None else terms.input_file
    return {
        "id": batch_ids.write(batch_ids.BATCH, view.uid),
        "object": "batch",
        "endpoint": CHAT if terms is None else terms.endpoint,
        "model": None if view.model == registry.NOBODY else view.model,
        "errors": _errors(view, terms),
        "input_file_id": given or file_id(view.uid, INPUT),
        "completion_window": WINDOW if terms is None else terms.completion_window,
        "status": word,
        "output_file_id": file_id(view.uid, OUTPUT) if has(view, OUTPUT) else None,
        "error_file_id": file_id(view.uid, ERRORS) if has(view, ERRORS) else None,
        "created_at": _seconds(view.created_at),
        "in_progress_at": _seconds(view.started_at),
        "expires_at": _seconds(view.expires_at),
        "finalizing_at": _seconds(ended if word == "completed" else None),
        "completed_at": _seconds(ended if word == "completed" else None),
        "failed_at": _seconds(ended if word == "failed" else None),
        "expired_at": _seconds(ended if word == "expired" else None),
        "cancelling_at": _seconds(view.closed_at if view.closed_as == JobStatus.CANCELLED else None),
        "cancelled_at": _seconds(ended if word == "cancelled" else None),
        "request_counts": {"total": view.total, "completed": counts.succeeded, "failed": counts.failed},
        "metadata": _metadata(view.metadata),
        "usage": _usage(view.usage),
        "penstock": {"job_id": str(view.uid), **extras},
    }


def page(data: list[Json], *, has_more: bool) -> Json:
    """A page of a list."""
    ids = [one["id"] for one in data] or [None]
    return {"object": "list", "data": data, "first_id": ids[0], "last_id": ids[-1], "has_more": has_more}


def status(view: JobView) -> str:
    """The state in this contract's words."""
    match view.status:
        case JobStatus.PENDING:
            return "validating"
        case JobStatus.CANCELLING:
            return "cancelling" if view.closed_as == JobStatus.CANCELLED else "finalizing"
        case JobStatus.RUNNING if not view.counts.unended:
            return "finalizing"
        case JobStatus.RUNNING | JobStatus.PAUSED:
            return "in_progress"
    return view.status.value


def has(view: JobView, kind: str) -> bool:
    """Whether a batch has anything in its file of that kind."""
    return bool(view.counts.succeeded if kind == OUTPUT else view.counts.unanswered)


def was_deleted(terms: FileBatch | None, kind: str) -> bool:
    """Whether the owner of a batch has deleted its file of that kind."""
    deleted = {} if terms is None else {OUTPUT: terms.output_deleted_at, ERRORS: terms.errors_deleted_at}
    return deleted.get(kind) is not None


def line(
    job: uuid.UUID, url: str, record: RecordView, answer: bytes | None, request_id: str | None = None
) -> bytes:
    """A record that has ended, as a line of the output or error file.

    `answer` is in the shape of `url`, at which it was asked. `request_id` is the provider's; where it named
    none the record's own stands there.
    """
    number = record_uid(job, record.idx).replace("-", "")
    custom_id = str(record.idx) if record.custom_id is None else text(record.custom_id)
    response, error = _outcome(url, record, answer, encode(request_id or f"req_{number}"))
    head = f'{{"id":"batch_req_{number}","custom_id":{encode(custom_id)},"response":'
    return b"".join((head.encode(), response, f',"error":{encode(error)}}}\n'.encode()))


def request_line(view: JobView, record: RecordView) -> bytes:
    """What a record asks, as a line of an input file. A row of a table stands in it as it was stored."""
    asked: Json = json.loads(record.asked or b"{}")
    if "url" in asked:
        url, body = asked["url"], asked["body"]
    else:
        usual = {"model": view.model, "max_tokens": view.max_tokens}
        url, body = MESSAGES, {**usual, **asked.get("params", _messages(asked))}
    custom_id = str(record.idx) if record.custom_id is None else text(record.custom_id)
    return encode({"custom_id": custom_id, "method": "POST", "url": url, "body": body}).encode() + b"\n"


def _messages(asked: Json) -> Json:
    if "prompt" in asked:
        return {"messages": [{"role": "user", "content": asked["prompt"]}]}
    return asked


def disposition(name: str) -> str:
    """How a file's content is named."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def as_chat_completion(answer: bytes) -> bytes:
    """An answer as a chat completion; what is no answer of a chat stays as it is, such as a vector."""
    try:
        found = json.loads(answer)
    except ValueError:
        return answer
    is_chat = isinstance(found, dict) and ("content" in found or "output" in found)
    is_chat = is_chat and found.get("type") != "inference"
    return to_json(shapes.chat_completion_of(answer)) if is_chat else answer


def as_message(answer: bytes) -> bytes:
    """An answer as a Message."""
    try:
        return to_json(shapes.message_of(answer))
    except ValueError:
        return answer


def _outcome(
    url: str, record: RecordView, answer: bytes | None, request_id: str
) -> tuple[bytes, Json | None]:
    """What stands in a line as `response`, in JSON, and as `error`."""
    if record.status is RecordStatus.SUCCEEDED:
        return _response(200, request_id, answer or b"null"), None
    kind, message = reason(record)
    if record.status in _NEVER_RUN:
        code, usual = _NEVER_RUN[record.status]
        return b"null", {"code": code, "message": usual if record.error_type is None else message}
    status = record.error_status or _STATUS_OF.get(kind)
    if status is not None and status >= 400 and answer is None:
        return _response(status, request_id, _refusal(url, record.error_body, kind, message)), None
    # An answer that was paid for and did not pass is shown beside the reason.
    response = b"null" if answer is None else _response(200, request_id, answer)
    return response, {"code": _CODE_OF.get(kind, kind), "message": message}


_CODE_OF = {"timeout": "request_timeout"}  # where this contract has a word of its own
_NEVER_RUN = {
    RecordStatus.EXPIRED: ("batch_expired", EXPIRED),
    RecordStatus.CANCELLED: ("batch_cancelled", CANCELLED),
}


def _response(status_code: int, request_id: str, body: bytes) -> bytes:
    head = f'{{"status_code":{status_code},"request_id":{request_id},"body":'
    return b"".join((head.encode(), on_one_line(body), b"}"))


def _refusal(url: str, kept: bytes | None, kind: str, message: str) -> bytes:
    """A provider's refusal: as it came where it has the shape of what was asked, else in that shape."""
    is_message = url == MESSAGES
    if kept is not None and refusals.is_in_form(json.loads(kept), of_messages=is_message):
        return kept
    if is_message:
        return to_json({"type": "error", "error": {"type": kind, "message": message}})
    return to_json({"error": {"message": message, "type": kind, "param": None, "code": None}})


def _file(
    id: str, name: str, size: int, purpose: str, created_at: dt.datetime, expires_at: dt.datetime | None
) -> Json:
    return {
        "id": id,
        "object": "file",
        "bytes": size,
        "created_at": _seconds(created_at),
        "expires_at": _seconds(expires_at),
        "filename": name,
        "purpose": purpose,
        "status": "processed",
        "status_details": None,
    }


def _errors(view: JobView, terms: FileBatch | None) -> Json | None:
    found = None if terms is None else terms.errors
    if found is None and view.status == JobStatus.FAILED:
        found = [{"code": "batch_failed", "line": None, "message": view.status_reason, "param": None}]
    return None if found is None else {"object": "list", "data": found}


def _usage(usage: Mapping[str, int]) -> Json:
    """Tokens; those of the prompt include what was written to a cache, or read from one."""
    cached = usage["cache_read_tokens"]
    prompt = usage["input_tokens"] + cached + usage["cache_write_tokens"]
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": usage["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + usage["output_tokens"],
    }


def _metadata(extra: Mapping[str, Any]) -> dict[str, str] | None:
    """Pairs of strings; a job of another contract may have other values, which are shown as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in extra.items()
    } or None


def _seconds(time: dt.datetime | None) -> int | None:
    """Unix time, in whole seconds."""
    return None if time is None else int(time.timestamp())
