"""The chunks of a streamed chat completion: put together, and made from a whole one. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.providers.streams import sse, texts

MOST_CALLS = 1_000  # of tools in one answer
DONE = b"data: [DONE]\n\n"

Json = dict[str, Any]


class Assembly:
    """Puts a completion together from its chunks."""

    def __init__(self) -> None:
        self._whole: Json = {}
        self._choices: dict[int, Json] = {}

    @property
    def whole(self) -> Json:
        """The answer as far as it has come."""
        choices = [texts.joined(self._choices[index]) for index in sorted(self._choices)]
        return {**self._whole, "choices": choices} if self._whole else {}

    @property
    def is_whole(self) -> bool:
        """Whether every choice has ended; a chunk with the usage may follow."""
        return bool(self._choices) and all(one["finish_reason"] for one in self._choices.values())

    def add(self, chunk: Any) -> None:
        """Raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` for one that does not fit."""
        if not isinstance(chunk, dict):
            return
        parts = {name: value for name, value in chunk.items() if name != "choices" and value is not None}
        self._whole |= {**parts, "object": "chat.completion"}
        for choice in chunk.get("choices") or ():
            self._add_choice(choice)

    def _add_choice(self, choice: Mapping[str, Any]) -> None:
        index = choice.get("index", 0)
        empty = {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}
        known = self._choices.setdefault(index, empty)
        known["finish_reason"] = choice.get("finish_reason") or known["finish_reason"]
        message = known["message"]
        for name, value in (choice.get("delta") or {}).items():
            if name == "tool_calls":
                _add_tools(message.setdefault("tool_calls", []), value or ())
            elif name != "role" and isinstance(value, str):
                texts.add(message, name, value)
            elif value is not None:
                message[name] = value


def wants_usage(asked: Mapping[str, Any]) -> bool:
    """Whether a request asks for a last chunk with the usage."""
    options = asked.get("stream_options")
    return isinstance(options, Mapping) and bool(options.get("include_usage"))


def shows(asked: Mapping[str, Any]) -> Any:
    """Which chunks go to a caller: that of the usage, which has no choices, only if it was asked for."""
    wanted = wants_usage(asked)
    return lambda chunk: wanted or not isinstance(chunk, dict) or chunk.get("choices") != []


def events(completion: Mapping[str, Any]) -> Iterator[bytes]:
    """The chunks in which a provider would stream `completion`, the last of them with its usage."""
    head = {name: completion.get(name) for name in ("id", "created", "model")}
    head["object"] = "chat.completion.chunk"
    for choice in completion["choices"]:
        for delta, reason in _deltas(choice):
            part = {"index": choice.get("index", 0), "delta": delta, "finish_reason": reason}
            yield sse.write(None, {**head, "choices": [part]})
    yield sse.write(None, {**head, "choices": [], "usage": completion.get("usage")})
    yield DONE


def _deltas(choice: Mapping[str, Any]) -> Iterator[tuple[Json, str | None]]:
    message = choice["message"]
    yield {"role": "assistant", "content": ""}, None
    for piece in texts.cut(message.get("content") or ""):
        yield {"content": piece}, None
    if calls := message.get("tool_calls"):
        yield {"tool_calls": [{"index": index, **call} for index, call in enumerate(calls)]}, None
    yield {}, choice.get("finish_reason") or "stop"


def _add_tools(known: list[Json], parts: Any) -> None:
    for part in parts:
        index = part.get("index", len(known))
        if type(index) is not int or not 0 <= index < MOST_CALLS:
            raise ValueError(f"the place of a tool's call is {index!r:.40}")
        while len(known) <= index:
            known.append({"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
        call, function = known[index], part.get("function") or {}
        call["id"] = part.get("id") or call["id"]
        for name in ("name", "arguments"):
            texts.add(call["function"], name, function.get(name) or "")
