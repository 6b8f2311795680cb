"""Invented answers in the shapes of an OpenAI-compatible API, made of the message that Messages would get."""

import base64
import json
import random
import struct
from collections.abc import Callable, Mapping
from typing import Any

from app.providers import openai_requests, shapes

DIMENSIONS = 16  # of a vector, unless the request says
MAX_TOKENS = 4_096  # of an answer whose request sets no bound
BYTES_PER_TOKEN = 4


def request_of(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The Messages request that asks the same, as far as an invented answer depends on it."""
    schema = _schema(body)
    return {
        "messages": _messages(url, body),
        "max_tokens": bound_of(body) or MAX_TOKENS,
        "tools": body.get("tools"),
        **({"output_config": {"format": {"type": "json_schema", "schema": schema}}} if schema else {}),
    }


def bound_of(body: Mapping[str, Any]) -> Any:
    """The most tokens that a body of any of the paths lets its answer have."""
    names = ("max_completion_tokens", "max_output_tokens", "max_tokens")
    return next((body[name] for name in names if body.get(name) is not None), None)


def answer_of(url: str, body: Mapping[str, Any], message: bytes) -> dict[str, Any]:
    """The message in the shape of the path's answers."""
    made = shapes.chat_completion_of(message)
    return made if url not in _SHAPES else _SHAPES[url](body, made)


def embeddings_of(body: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """Vectors of length 1 for the body's inputs, the same for the same input."""
    given = body.get("input")
    is_list = isinstance(given, list) and not all(isinstance(one, int) for one in given)
    inputs: list[Any] = given if is_list and isinstance(given, list) else [given]
    size = body.get("dimensions") if type(body.get("dimensions")) is int else DIMENSIONS
    coded = body.get("encoding_format") == "base64"
    vectors = [_vector(one, max(1, min(int(size or 1), 4_096))) for one in inputs]
    tokens = sum(max(1, len(json.dumps(one)) // BYTES_PER_TOKEN) for one in inputs)
    return {
        "object": "list",
        "id": f"embd-sim-{digest[:24]}",
        "model": "simulated",
        "simulated": True,
        "data": [
            {"object": "embedding", "index": index, "embedding": _coded(vector) if coded else vector}
            for index, vector in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _vector(given: Any, size: int) -> list[float]:
    chance = random.Random(json.dumps(given))  # noqa: S311  repeatable on purpose
    drawn = [chance.gauss(0, 1) for _ in range(size)]
    length = sum(value * value for value in drawn) ** 0.5
    return [round(value / length, 7) for value in drawn]


def _coded(vector: list[float]) -> str:
    """As the official SDKs ask for it: little-endian floats of 32 bits in base64."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _messages(url: str, body: Mapping[str, Any]) -> Any:
    if url == openai_requests.CHAT:
        return body.get("messages")
    given = body.get("input" if url == openai_requests.RESPONSES else "prompt")
    return [{"role": "user", "content": given}] if isinstance(given, str) and given else given


def _schema(body: Mapping[str, Any]) -> Any:
    """The schema of a structured answer, of a chat completion or of a response."""
    chat, response = body.get("response_format"), body.get("text")
    form = response.get("format") if isinstance(response, Mapping) else chat
    if not isinstance(form, Mapping) or form.get("type") != "json_schema":
        return None
    inner = form.get("json_schema", form)
    return inner.get("schema") if isinstance(inner, Mapping) else None


def _response(body: Mapping[str, Any], chat: Mapping[str, Any]) -> dict[str, Any]:
    """A chat completion as a response."""
    choice, usage = chat["choices"][0], chat["usage"]
    is_cut = choice["finish_reason"] == "length"
    id = str(chat["id"]).removeprefix("chatcmpl-")
    text = {"type": "output_text", "text": choice["message"]["content"], "annotations": []}
    state = "incomplete" if is_cut else "completed"
    return {
        "id": f"resp_{id}",
        "object": "response",
        "created_at": chat["created"],
        "status": state,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "model": chat["model"],
        "output": [
            {"id": f"msg_{id}", "type": "message", "role": "assistant", "status": state, "content": [text]}
        ],
        "parallel_tool_calls": True,
        "temperature": body.get("temperature", 1.0),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }


def _completion(_: Mapping[str, Any], chat: Mapping[str, Any]) -> dict[str, Any]:
    choice = chat["choices"][0]
    said = {"index": 0, "text": choice["message"]["content"], "logprobs": None}
    return {
        **chat,
        "id": str(chat["id"]).replace("chatcmpl-", "cmpl-"),
        "object": "text_completion",
        "choices": [said | {"finish_reason": choice["finish_reason"]}],
    }


_SHAPES: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]] = {
    openai_requests.RESPONSES: _response,
    openai_requests.COMPLETIONS: _completion,
}
