"""The results of a Message Batch: a line for each request that has ended, in the order of the requests."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from app.core.json_text import encode, on_one_line
from app.core.reading import records
from app.core.reading.answers import answer_text, reason
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from app.dialects.anthropic.wire import record_error
from app.providers import refusals, registry
from app.providers.answers import is_message
from app.providers.shapes import message_of
from models.base import record_uid
from models.record import RecordStatus

WORDS = {RecordStatus.CANCELLED: b"canceled", RecordStatus.EXPIRED: b"expired"}

Message = Callable[[RecordView, bytes], bytes]


def lines(view: JobView) -> Iterator[bytes]:
    """The lines of what has ended so far, each once, in pieces. Nothing is held between two of them."""
    message = _message_of(view)
    for page in records.walk(partial(records.by_index, words=records.ENDED_WORDS), view):
        if page.records:
            failed = [record for record in page.records if record.status is RecordStatus.FAILED]
            named = records.request_ids(view, failed)
            yield b"".join(_line(record, message, named.get(record.idx)) for record in page.records)


def _line(record: RecordView, message: Message, request_id: str | None) -> bytes:
    result = _result(record, message, request_id)
    return b'{"custom_id":%b,"result":%b}\n' % (_custom_id(record), result)


def _custom_id(record: RecordView) -> bytes:
    """The request's own name, or its place, as other contracts need no names."""
    if record.custom_id is None:
        return b'"request-%d"' % record.idx
    return encode(record.custom_id.decode("utf-8", "surrogatepass")).encode()


def _result(record: RecordView, message: Message, request_id: str | None) -> bytes:
    if record.status in WORDS:
        return b'{"type":"%b"}' % WORDS[record.status]
    if record.status is RecordStatus.SUCCEEDED and record.answer is not None:
        return b'{"type":"succeeded","message":%b}' % message(record, on_one_line(record.answer))
    told = {"type": "error", "error": _error(record), "request_id": request_id}
    return encode({"type": "errored", "error": told}).encode()


def _error(record: RecordView) -> dict[str, Any]:
    """What failed: in the provider's own words where it refused in those of this contract."""
    said = json.loads(record.error_body or b"{}")
    if refusals.is_in_form(said, of_messages=True):
        error: dict[str, Any] = said["error"]
        return error
    kind, why = reason(record)
    return {"type": record_error(kind), "message": why}


def _message_of(view: JobView) -> Message:
    """How an answer of the job becomes a message. Claude's are messages: their bytes stay as they are."""
    provider = registry.find(view.model)
    if provider is not None and provider.client == "anthropic":
        return lambda _, answer: answer
    return lambda record, answer: _translated(view, record, answer)


def _translated(view: JobView, record: RecordView, answer: bytes) -> bytes:
    """An answer as a message; what no API of messages answers as a message of its text."""
    found = json.loads(answer)
    if is_message(found):
        return answer
    message = message_of(answer)
    return encode(message if is_message(message) else _of_text(view, record, answer)).encode()


def _of_text(view: JobView, record: RecordView, answer: bytes) -> dict[str, Any]:
    usage = record.usage or {}
    return {
        "id": f"msg_{record_uid(view.uid, record.idx).replace('-', '')}",
        "type": "message",
        "role": "assistant",
        "model": view.model,
        "content": [{"type": "text", "text": answer_text(answer)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {name: usage.get(name, 0) for name in ("input_tokens", "output_tokens")},
    }
