"""The chunks of a streamed chat completion as the events of a message, while they come."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.providers.streams import sse

Json = dict[str, Any]
# What the tokens of the prompt are shows at the end alone.
NO_USAGE = {"input_tokens": 0, "output_tokens": 0}


class Blocks:
    """Of one answer: its text and each tool that it calls are a block."""

    def __init__(self) -> None:
        self._count = 0  # of blocks
        self._open: int | None = None  # the block that is being written
        self._text: int | None = None  # the open block if it is text
        self._tools: dict[int, int] = {}  # the block of each call, by its place among the calls
        self._has_begun = False

    def feed(self, raw: bytes) -> bytes:
        """The events of one chunk, which is whole."""
        chunks = (event.json() for event in sse.Cutter().feed(raw))
        return b"".join(
            event for chunk in chunks if isinstance(chunk, dict) for event in self._of_chunk(chunk)
        )

    def end(self, message: Mapping[str, Any]) -> bytes:
        """The last events; `message` is the whole answer."""
        ends = {name: message.get(name) for name in ("stop_reason", "stop_sequence")}
        last = [
            *self._begin(message),
            *self._close(),
            sse.typed("message_delta", delta=ends, usage=message["usage"]),
            sse.typed("message_stop"),
        ]
        return b"".join(last)

    def _of_chunk(self, chunk: Json) -> Iterator[bytes]:
        yield from self._begin({**chunk, "id": f"msg_{chunk.get('id') or 'unnamed'}"})
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            for name in ("content", "refusal"):
                if isinstance(text := delta.get(name), str) and text:
                    yield from self._write(text)
            for call in delta.get("tool_calls") or ():
                yield from self._call(call)

    def _begin(self, answer: Mapping[str, Any]) -> Iterator[bytes]:
        if self._has_begun:
            return
        self._has_begun = True
        head: Json = {"id": answer.get("id"), "type": "message", "role": "assistant", "content": []}
        ends = {"stop_reason": None, "stop_sequence": None, "usage": NO_USAGE}
        yield sse.typed("message_start", message={**head, "model": str(answer.get("model") or ""), **ends})

    def _write(self, text: str) -> Iterator[bytes]:
        if self._text is None:
            yield from self._start({"type": "text", "text": ""})
            self._text = self._open
        delta = {"type": "text_delta", "text": text}
        yield sse.typed("content_block_delta", index=self._text, delta=delta)

    def _call(self, call: Mapping[str, Any]) -> Iterator[bytes]:
        place, function = call.get("index", len(self._tools)), call.get("function") or {}
        if place not in self._tools:
            block: Json = {
                "type": "tool_use",
                "id": call.get("id"),
                "name": function.get("name"),
                "input": {},
            }
            yield from self._start(block)
            self._tools[place] = self._count - 1
        if part := function.get("arguments"):
            delta = {"type": "input_json_delta", "partial_json": part}
            yield sse.typed("content_block_delta", index=self._tools[place], delta=delta)

    def _start(self, block: Json) -> Iterator[bytes]:
        yield from self._close()
        self._open = self._count
        self._count += 1
        yield sse.typed("content_block_start", index=self._open, content_block=block)

    def _close(self) -> Iterator[bytes]:
        if self._open is not None:
            yield sse.typed("content_block_stop", index=self._open)
        self._open = self._text = None
