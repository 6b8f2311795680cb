"""A request for a chat completion as one of Messages, for a provider that speaks those alone.

What only changes how an endpoint works, such as `seed`, is left out; what would change the answer and has no
counterpart is refused by name.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from app.errors import RequestRejected

_UNHEEDED = frozenset(
    [
        "seed",
        "logit_bias",
        "presence_penalty",
        "frequency_penalty",
        "logprobs",
        "top_logprobs",
        "store",
        "metadata",
        "service_tier",
        "stream",
        "stream_options",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "verbosity",
        "n",
    ]
)
_TRANSLATED = frozenset(
    [
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "user",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
    ]
)
_REFUSED = ("audio", "web_search_options", "functions", "function_call")


def of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request; without `max_tokens` where the body sets no bound. Raises `RequestRejected`."""
    if strange := next((name for name in _REFUSED if body.get(name)), None):
        raise _refused(f"`{strange}`")
    if body.get("n") not in (None, 1):
        raise _refused("several answers (`n`)")
    try:
        return _translated(body)
    except (AttributeError, KeyError, TypeError, ValueError) as fault:
        raise RequestRejected(f"the body is not a request for a chat completion ({fault!r})") from fault


def _translated(body: Mapping[str, Any]) -> dict[str, Any]:
    system = [one for one in body["messages"] if one["role"] in ("system", "developer")]
    turns = [one for one in body["messages"] if one not in system]
    stop, user = body.get("stop"), body.get("user")
    made = {
        **{name: value for name, value in body.items() if name not in _TRANSLATED | _UNHEEDED},
        "max_tokens": body.get("max_completion_tokens") or body.get("max_tokens"),
        "system": "\n\n".join(_text(one["content"]) for one in system) or None,
        "messages": _messages(turns),
        "stop_sequences": [stop] if isinstance(stop, str) else stop,
        "metadata": {"user_id": user} if user else None,
        "tools": [_tool(tool) for tool in body.get("tools") or ()] or None,
        "tool_choice": _choice(body),
        "output_config": _output(body) or None,
    }
    return {name: value for name, value in made.items() if value is not None}


def _messages(turns: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Results of tools, and what the user says next, are one message."""
    made: list[dict[str, Any]] = []
    for turn in turns:
        role = "assistant" if turn["role"] == "assistant" else "user"
        blocks = _blocks(turn)
        if made and made[-1]["role"] == role == "user":
            made[-1]["content"] += blocks
        else:
            made.append({"role": role, "content": blocks})
    return made


def _blocks(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = turn.get("content")
    if turn["role"] == "tool":
        return [{"type": "tool_result", "tool_use_id": turn["tool_call_id"], "content": _text(content)}]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
    calls = [
        {
            "type": "tool_use",
            "id": call["id"],
            "name": call["function"]["name"],
            "input": json.loads(call["function"]["arguments"] or "{}"),
        }
        for call in turn.get("tool_calls") or ()
    ]
    return [*(_block(part) for part in parts if part.get("text") != ""), *calls]


def _block(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind == "text":
        return {"type": "text", "text": part["text"]}
    if kind == "image_url":
        return {"type": "image", "source": _source(part["image_url"]["url"])}
    if kind == "file" and "file_data" in part["file"]:
        return {"type": "document", "source": _source(part["file"]["file_data"])}
    raise _refused(f"a part of type {kind!r}")


def _source(address: str) -> dict[str, Any]:
    if not address.startswith("data:"):
        return {"type": "url", "url": address}
    media_type, _, data = address.removeprefix("data:").partition(";base64,")
    return {"type": "base64", "media_type": media_type, "data": data}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content or ())


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool["type"] != "function":
        raise _refused(f"a tool of type {tool['type']!r}")
    function = tool["function"]
    made = {
        "name": function["name"],
        "description": function.get("description"),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    return {name: value for name, value in made.items() if value is not None}


def _choice(body: Mapping[str, Any]) -> dict[str, Any] | None:
    choice, words = body.get("tool_choice"), {"auto": "auto", "required": "any", "none": "none"}
    single = {"disable_parallel_tool_use": True} if body.get("parallel_tool_calls") is False else {}
    if choice is None:
        return {"type": "auto", **single} if single and body.get("tools") else None
    if isinstance(choice, str):
        return {"type": words[choice], **(single if choice != "none" else {})}
    return {"type": "tool", "name": choice["function"]["name"], **single}


def _output(body: Mapping[str, Any]) -> dict[str, Any]:
    effort, form = body.get("reasoning_effort"), body.get("response_format") or {"type": "text"}
    made: dict[str, Any] = {"effort": effort} if effort in ("low", "medium", "high") else {}
    if form["type"] == "json_schema":
        made["format"] = {"type": "json_schema", "schema": form["json_schema"]["schema"]}
    elif form["type"] != "text":
        raise _refused(f"a response_format of type {form['type']!r}")
    return made


def _refused(what: str) -> RequestRejected:
    return RequestRejected(f"{what} has no counterpart in this model's API", type="unsupported_request")
