"""The events of a streamed response of OpenAI's Responses API: read, and made from a whole one. Pure."""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from app.providers.streams import sse, texts

LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})

Json = dict[str, Any]


class Assembly:
    """The last event of a stream holds the whole response."""

    def __init__(self) -> None:
        self.whole: Json = {}
        self.is_whole = False

    def add(self, event: Any) -> None:
        """Raises `KeyError` or `TypeError` for one that fits no response."""
        if isinstance(event, dict) and event.get("type") in LAST:
            self.whole, self.is_whole = dict(event["response"]), True


def events(response: Mapping[str, Any]) -> Iterator[bytes]:
    """The events in which a provider would stream `response`."""
    number = count()
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    for kind, fields in (
        ("response.created", {"response": begun}),
        *(step for index, item in enumerate(response["output"]) for step in _item(index, item)),
        (f"response.{response.get('status', 'completed')}", {"response": response}),
    ):
        yield sse.typed(kind, sequence_number=next(number), **fields)


def _item(index: int, item: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    begun = {**item, "status": "in_progress", **({"content": []} if "content" in item else {})}
    yield "response.output_item.added", {"output_index": index, "item": begun}
    for place, part in enumerate(item.get("content") or ()):
        if part.get("type") == "output_text":
            yield from _text({"output_index": index, "content_index": place, "item_id": item["id"]}, part)
    yield "response.output_item.done", {"output_index": index, "item": item}


def _text(where: Json, part: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    text = part["text"]
    yield "response.content_part.added", {**where, "part": {**part, "text": ""}}
    for piece in texts.cut(text):
        yield "response.output_text.delta", {**where, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**where, "text": text, "logprobs": []}
    yield "response.content_part.done", {**where, "part": part}
