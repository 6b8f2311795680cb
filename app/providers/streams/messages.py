"""The events of a streamed message: put together, and made from a whole message."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from app.providers import answers
from app.providers.client import Reply
from app.providers.streams import sse, texts
from app.providers.streams.form import Form

Json = dict[str, Any]

# What a delta adds to its block: the delta's type, and the field of both.
_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class Assembly:
    """Puts a message together from its events. What it does not know it leaves out."""

    def __init__(self) -> None:
        self.whole: Json = {}
        self.is_whole = False  # its last event has come
        self._blocks: dict[int, Json] = {}
        self._inputs: dict[int, list[str]] = {}  # of tools: the pieces of JSON that is not whole yet

    def add(self, event: Any) -> None:
        """Raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` for one that fits no message."""
        match event.get("type") if isinstance(event, dict) else None:
            case "message_start":
                self.whole = {**event["message"], "content": []}
            case "content_block_start":
                self._blocks[event["index"]] = dict(event["content_block"])
            case "content_block_delta":
                self._add_delta(event["index"], event["delta"])
            case "content_block_stop":
                self._end_block(event["index"])
            case "message_delta":
                self._change(event)
            case "message_stop":
                content = [texts.joined(self._blocks[index]) for index in sorted(self._blocks)]
                self.whole["content"] = content
                self.is_whole = True

    def _add_delta(self, index: int, delta: Mapping[str, Any]) -> None:
        block, kind = self._blocks[index], delta["type"]
        if (field := _TEXTS.get(kind)) is not None:
            texts.add(block, field, delta[field])
        elif kind == "input_json_delta":
            self._inputs.setdefault(index, []).append(delta["partial_json"])
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]

    def _end_block(self, index: int) -> None:
        if text := "".join(self._inputs.pop(index, ())):
            self._blocks[index]["input"] = json.loads(text)

    def _change(self, event: Mapping[str, Any]) -> None:
        self.whole |= event.get("delta") or {}
        usage = {name: count for name, count in (event.get("usage") or {}).items() if count is not None}
        if usage:
            self.whole["usage"] = {**(self.whole.get("usage") or {}), **usage}


def events(message: Mapping[str, Any]) -> Iterator[bytes]:
    """The events with which a provider would stream `message`."""
    usage = message.get("usage") or {}
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield sse.typed("message_start", message=start)
    for index, block in enumerate(message["content"]):
        yield from _block(index, block)
    ends = {name: message.get(name) for name in ("stop_reason", "stop_sequence")}
    yield sse.typed("message_delta", delta=ends, usage={"output_tokens": usage.get("output_tokens")})
    yield sse.typed("message_stop")


def _block(index: int, block: Mapping[str, Any]) -> Iterator[bytes]:
    if block.get("type") == "text":
        yield sse.typed("content_block_start", index=index, content_block={**block, "text": ""})
        for piece in texts.cut(block["text"]):
            delta = {"type": "text_delta", "text": piece}
            yield sse.typed("content_block_delta", index=index, delta=delta)
    elif block.get("type") == "tool_use":
        yield sse.typed("content_block_start", index=index, content_block={**block, "input": {}})
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block.get("input"))}
        yield sse.typed("content_block_delta", index=index, delta=delta)
    else:
        yield sse.typed("content_block_start", index=index, content_block=block)
    yield sse.typed("content_block_stop", index=index)


def _answer(body: bytes, headers: Mapping[str, str]) -> Reply:
    return answers.read(body, headers.get("request-id"), headers)


FORM = Form(assembly=Assembly, events=events, read=_answer)
