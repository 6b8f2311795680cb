"""From a record of the server to an `Answer`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from penstock_client.objects import Answer, AnswerError, dollars, known_usage


def read(record: Mapping[str, Any], row: Any) -> Answer:
    """The answer of a record."""
    error = record.get("error")
    return Answer(
        index=record["index"],
        row=row,
        status=record["status"],
        text=text_of(record.get("response")),
        value=record.get("value"),
        error=error and AnswerError(error["type"], error.get("message") or ""),
        stop_reason=record.get("stop_reason"),
        usage=known_usage(record.get("usage")),
        cost=dollars(record.get("cost")),
        custom_id=record.get("custom_id"),
        copy_of=record.get("copy_of"),
        is_reused=bool(record.get("reused")),
        raw=record,
    )


def text_of(response: Any) -> str | None:
    """The text of an answer in the form of Messages, chat completions or responses; else its JSON."""
    if not isinstance(response, Mapping):
        return None
    for parts in (_of_messages, _of_chat, _of_responses):
        if (text := parts(response)) is not None:
            return text
    vectors = [one.get("embedding") for one in _dicts(response.get("data"))]
    shown = response.get("output", response) if not vectors else vectors[0] if len(vectors) == 1 else vectors
    return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)


def _of_messages(response: Mapping[str, Any]) -> str | None:
    content = response.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    return "".join(_text(block) for block in _dicts(content) if block.get("type") == "text")


def _of_chat(response: Mapping[str, Any]) -> str | None:
    for choice in _dicts(response.get("choices")):
        message = choice.get("message")
        if not isinstance(message, Mapping):
            return _text(choice)
        content = message.get("content") or message.get("refusal") or ""
        return content if isinstance(content, str) else "".join(map(_text, _dicts(content)))
    return None


def _of_responses(response: Mapping[str, Any]) -> str | None:
    items = [item for item in _dicts(response.get("output")) if item.get("type") == "message"]
    if not items:
        return None
    return "".join(_text(part) for item in items for part in _dicts(item.get("content")))


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [part for part in value if isinstance(part, Mapping)] if isinstance(value, list) else []


def _text(part: Mapping[str, Any]) -> str:
    text = part.get("text") or part.get("refusal")
    return text if isinstance(text, str) else ""
