"""The events of a streamed message as the chunks of a chat completion, while they come."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from app.providers import answers, shapes
from app.providers.streams import completions, sse

Json = dict[str, Any]


class Chunks:
    """Of one answer; with `wants_usage` its last chunk is that of the usage."""

    def __init__(self, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._cutter = sse.Cutter()
        self._head: Json = {"object": "chat.completion.chunk", "created": int(time.time())}
        self._tools: dict[int, int] = {}  # the place of each block that calls one
        self._usage: Json = {}

    def feed(self, piece: bytes) -> bytes:
        """The chunks of the events that `piece` completes."""
        return b"".join(chunk for event in self._cutter.feed(piece) for chunk in self._of(event.json()))

    def _of(self, event: Any) -> Iterator[bytes]:
        match event.get("type") if isinstance(event, dict) else None:
            case "message_start":
                message = event["message"]
                self._head |= {"id": f"chatcmpl-{message.get('id')}", "model": message.get("model")}
                self._usage |= message.get("usage") or {}
                yield self._chunk({"role": "assistant", "content": ""})
            case "content_block_start" if event["content_block"].get("type") == "tool_use":
                block, place = event["content_block"], len(self._tools)
                self._tools[event["index"]] = place
                function = {"name": block["name"], "arguments": ""}
                call = {"index": place, "id": block["id"], "type": "function", "function": function}
                yield self._chunk({"tool_calls": [call]})
            case "content_block_delta":
                yield from self._delta(event["index"], event["delta"])
            case "message_delta":
                told = (event.get("usage") or {}).items()
                self._usage |= {name: count for name, count in told if count is not None}
                yield self._chunk({}, shapes.finish_of(event["delta"]))
            case "message_stop":
                if self._wants_usage:
                    usage = shapes.usage_of_chat(answers.usage_of({"usage": self._usage}))
                    yield sse.write(None, {**self._head, "choices": [], "usage": usage})
                yield completions.DONE

    def _delta(self, index: int, delta: Mapping[str, Any]) -> Iterator[bytes]:
        if delta["type"] == "text_delta":
            yield self._chunk({"content": delta["text"]})
        elif delta["type"] == "input_json_delta" and index in self._tools:
            part = {"index": self._tools[index], "function": {"arguments": delta["partial_json"]}}
            yield self._chunk({"tool_calls": [part]})

    def _chunk(self, delta: Json, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return sse.write(None, {**self._head, "choices": [choice]})
