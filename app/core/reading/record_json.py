"""A record as its owner reads it: one line of JSON.

The line of an ended record is made here and nowhere else, so it is the same bytes whenever and wherever it is
read. The answer in it is the provider's own bytes, never parsed: only what some readers take for the end of a
line is written as its code.
"""

import uuid

from app.core.json_text import encode, on_one_line, text
from app.core.money import pricing
from app.core.reading.records import RecordView
from app.ingest import documents
from models.base import record_uid


def line(job: uuid.UUID, record: RecordView) -> bytes:
    """The record as one JSON object on one line, without its line break.

    A document that was read with its input shows what its sender said of it.
    """
    head = (
        f'{{"id":"{record_uid(job, record.idx)}","index":{record.idx},"custom_id":{_quoted(record.custom_id)}'
        f',"status":"{record.status.word}","stop_reason":{_encoded(record.stop_reason)}'
        f',"attempts":{record.attempts},"response":'
    )
    error = "null"
    if record.error_type is not None:
        error = f'{{"type":{encode(record.error_type)},"message":{_quoted(record.error_message)}}}'
    cost = "null" if record.cost is None else f'"{pricing.dollars(record.cost)}"'
    latency_ms = "null" if record.latency_ms is None else record.latency_ms
    tail = (
        f',"error":{error},"usage":{record.usage_json or "null"},"cost":{cost},"latency_ms":{latency_ms}'
        f',"started_at":{_time(record.started_at)},"ended_at":{_time(record.ended_at)}'
        f"{_document(record)}{_unasked(record)}{_repair(record)}}}"
    )
    answer = b"null" if record.answer is None else on_one_line(record.answer)
    value = b"" if record.value is None else b',"value":' + on_one_line(record.value)
    return b"".join((head.encode(), answer, value, tail.encode()))


def _unasked(record: RecordView) -> str:
    """Whose answer it has, if it was not asked."""
    if record.copy_of is not None:
        return f',"copy_of":{record.copy_of}'
    if not record.is_reused:
        return ""
    if record.reused_job is None:  # of an earlier release
        return ',"reused":true'
    return f',"reused":true,"reused_from":{{"job":"{record.reused_job}","at":{_time(record.reused_at)}}}'


def _repair(record: RecordView) -> str:
    return "" if record.repair is None else f',"repair":"{record.repair}"'


def _encoded(value: str | None) -> str:
    return "null" if value is None else encode(value)


def _quoted(value: bytes | None) -> str:
    return "null" if value is None else encode(text(value))


def _document(record: RecordView) -> str:
    document = documents.read(record.asked or b"")
    if document is None:
        return ""
    return f',"document":{encode({"file_id": document.file_id or None, **document.description()})}'


def _time(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'
