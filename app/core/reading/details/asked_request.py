"""The request of one record as it was or will be sent, made by the code that workers make it with."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from app.core.reading.jobs import JobView
from app.core.requests import build, inputs, job_context
from app.core.requests.claim import Claim
from app.errors import NotFound, RequestRejected
from app.ingest import documents
from app.ingest.documents import Block, Document
from models.record import Record, RecordInput

# Of a request: what is shown as texts, so that the rest are its options.
_TEXTS = frozenset({"system", "messages", "instructions", "prompt", "input"})


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says in it."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A request in parts. `refusal`: why none can be made."""

    turns: Sequence[Turn] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None  # of a whole request, to which it is sent
    refusal: str | None = None
    whole: Mapping[str, Any] | None = None


def of(session: Session, job: JobView, idx: int) -> Asked:
    """The request of a record of a job that has its content; raises `NotFound` where there is none.

    Earlier turns of a conversation stand in it as far as they have succeeded by now. A document is a line
    that names it.
    """
    row, stored = session.get(Record, (job.id, idx)), session.get(RecordInput, (job.id, idx))
    if row is None or stored is None:
        raise NotFound(f"the job has no record {idx}: its records are numbered from 0 to {job.total - 1}")
    claim = Claim(job.id, idx, 0, 0, 0, row.request_bytes, row.max_tokens, row.conversation)
    context = job_context.of(job.id)
    inputs.read(session, job.id, [claim])
    document = documents.read(claim.body)
    if document is not None and context.prompt is None:
        return Asked([Turn("document", _named(document))])
    attached = None if document is None else Block(type="text", text=_named(document))
    try:
        return _parts(build.build(context, claim.body, claim.max_tokens, claim.history, attached))
    except RequestRejected as error:
        return Asked(refusal=error.message)


def _named(document: Document) -> str:
    return f"[{document.filename or document.file_id}: {document.media_type}, {document.size:,} bytes]"


def _parts(params: Mapping[str, Any]) -> Asked:
    request = params["body"] if "url" in params else params
    turns = [
        *(Turn("system", _said(request[name])) for name in ("system", "instructions") if request.get(name)),
        *(Turn("user", _said(request[name])) for name in ("prompt", "input") if name in request),
        *(Turn(str(message.get("role")), _said(message.get("content"))) for message in _messages(request)),
    ]
    options = {name: value for name, value in request.items() if name not in _TEXTS}
    return Asked(turns, options, params.get("url"), whole=request)


def _messages(request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    messages = request.get("messages")
    if isinstance(messages, list):
        yield from (message for message in messages if isinstance(message, dict))


def _said(content: Any) -> str:
    """Content as text: blocks that hold none are shown as JSON, and what is in base64 by its size."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False)
    return "\n".join(map(_block, content))


def _block(block: Any) -> str:
    if not isinstance(block, dict):
        return str(block)
    if isinstance(block.get("text"), str):
        return str(block["text"])
    source = block.get("source")
    if isinstance(source, dict) and isinstance(source.get("data"), str):
        return (
            f"[{block.get('type')}: {source.get('media_type')}, {len(source['data']):,} characters of base64]"
        )
    return json.dumps(block, ensure_ascii=False)
