"""What a record says in words: what its sender wrote, and what came back."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from app.core.json_text import text
from app.core.reading.answers import answer_text, failure
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from app.core.requests import build, job_context
from app.errors import RequestRejected
from app.ingest.values import as_text

_SAID = ("system", "instructions", "prompt", "messages", "input")  # the parts of a request that are words
# Of messages: the terms of the protocol, and documents in base64.
_TERMS = frozenset({"type", "role", "media_type", "data", "id", "tool_use_id", "cache_control"})


def question(job: JobView, record: RecordView, most: int) -> str:
    """The beginning of its prompt as it is asked, else of what its sender wrote; up to `most` characters."""
    filled_in = _filled_in(job, record)
    if filled_in is not None:
        return filled_in[:most]
    said, size = [], 0
    for part in _asked(record.asked):
        said.append(part)
        size += len(part)
        if size > most:
            break
    return " · ".join(said)[:most]


def beginning(record: RecordView, most: int) -> str:
    """The beginning of its answer's text, up to `most` characters."""
    return "" if record.answer is None else answer_text(record.answer)[:most]


def why(record: RecordView, most: int) -> str:
    """Why it has no answer, or one that does not count."""
    return failure(record)[:most]


def name(record: RecordView) -> str:
    """Its owner's id of it."""
    return text(record.custom_id) or ""


def everything(record: RecordView) -> Iterator[tuple[str, str]]:
    """Each text of a record that was read with its input, and where it is."""
    if record.custom_id is not None:
        yield "id", text(record.custom_id) or ""
    yield from (("prompt", part) for part in _asked(record.asked))
    if record.answer is not None:
        yield "answer", answer_text(record.answer)
    if record.error_message is not None:
        yield "error", text(record.error_message) or ""


def _filled_in(job: JobView, record: RecordView) -> str | None:
    """The prompt of a row of a table; None for another record, and for a row that does not fit."""
    content = {} if record.asked is None else json.loads(record.asked)
    if "row" not in content:
        return None
    try:
        return build.prompt_of(job_context.of(job.id), content)
    except RequestRejected:
        return None


def _asked(body: bytes | None) -> Iterable[str]:
    if body is None:
        return ()
    content = json.loads(body)
    if "refused" in content:
        return ()
    if "row" in content:
        return map(as_text, content["row"].values())
    if "document" in content:
        document = content["document"]
        return (document.get("filename") or "", *_words(document.get("metadata")))
    request = next((content[name] for name in ("params", "body") if name in content), content)
    return chain.from_iterable(_words(request[name]) for name in _SAID if name in request)


def _words(value: Any) -> Iterator[str]:
    """The texts within a value."""
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _words(item)
        case dict():
            for name, item in value.items():
                if name not in _TERMS:
                    yield from _words(item)
        case bool() | None:
            return
        case _:
            yield as_text(value)
