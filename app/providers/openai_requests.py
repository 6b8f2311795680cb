"""The request for an OpenAI-compatible endpoint: whole as it came, or a Messages request translated.

What has no counterpart there is refused by name, or says nothing that the endpoint could heed; keys that
Messages does not know, such as `seed`, are passed on.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from app.errors import RequestRejected

CHAT = "/v1/chat/completions"
RESPONSES, EMBEDDINGS, COMPLETIONS = "/v1/responses", "/v1/embeddings", "/v1/completions"
PATHS = (CHAT, RESPONSES, EMBEDDINGS, COMPLETIONS)

# Models that refuse `max_tokens`, as their thoughts count, too.
_THINKS = re.compile(r"(?:^|/)(?:o\d|gpt-[5-9])")
_OTHER_BOUNDS = ("max_completion_tokens", "max_output_tokens")  # names of what `max_tokens` is in Messages
_ELSEWHERE = ("mcp_servers", "container", "context_management")  # what only Claude's API has
_TRANSLATED = frozenset(
    {
        "system",
        "messages",
        "max_tokens",
        "stop_sequences",
        "tools",
        "tool_choice",
        "output_config",
        "metadata",
    }
)
_UNHEEDED = frozenset({"thinking", "cache_control", "inference_geo", "speed", "service_tier", "betas"})


def of(params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The path behind the version, and a body that may be changed.

    `params` is a Messages request, or a whole one in `{"url", "body"}` beside its model and `max_tokens`.
    Raises `RequestRejected` for what cannot be translated.
    """
    if "url" in params:
        return params["url"].removeprefix("/v1"), dict(params["body"])
    try:
        return CHAT.removeprefix("/v1"), chat(params)
    except (AttributeError, KeyError, TypeError) as fault:
        raise RequestRejected(
            f"the request is not one of Messages ({fault!r}): it cannot be sent to this endpoint"
        ) from fault


def chat(params: Mapping[str, Any]) -> dict[str, Any]:
    """A Messages request as one of chat completions."""
    if strange := next((name for name in _ELSEWHERE if params.get(name)), None):
        raise _refused(f"`{strange}` is for Claude alone")
    if other := next((name for name in _OTHER_BOUNDS if params.get(name) is not None), None):
        raise RequestRejected(f"`{other}` is called `max_tokens` in a request of this form")
    model, tokens = params["model"], params.get("max_tokens")
    passed = {name: value for name, value in params.items() if name not in _TRANSLATED | _UNHEEDED}
    made = {
        **passed,
        "messages": [*_system(params.get("system")), *_messages(params["messages"])],
        "max_completion_tokens" if _THINKS.search(str(model)) else "max_tokens": tokens,
        "stop": params.get("stop_sequences"),
        "user": (params.get("metadata") or {}).get("user_id"),
        "tools": [_tool(tool) for tool in params.get("tools") or ()] or None,
        **_choice(params.get("tool_choice")),
        **_output(params.get("output_config") or {}),
    }
    return {name: value for name, value in made.items() if value is not None}


def _system(system: Any) -> list[dict[str, Any]]:
    text = system if isinstance(system, str) else "\n\n".join(block["text"] for block in system or ())
    return [{"role": "system", "content": text}] if text else []


def _messages(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            made.append({"role": message["role"], "content": content})
        elif message["role"] == "assistant":
            made.append(_said(content))
        else:
            made += _asked(content)
    return made


def _said(blocks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A message of the assistant; its thoughts are not sent back."""
    blocks = list(blocks)
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    calls = [
        {
            "id": block["id"],
            "type": "function",
            "function": {"name": block["name"], "arguments": json.dumps(block["input"])},
        }
        for block in blocks
        if block["type"] == "tool_use"
    ]
    return {"role": "assistant", "content": text or None, **({"tool_calls": calls} if calls else {})}


def _asked(blocks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A message of the user: results of tools are messages of their own, before the rest."""
    results, parts = [], []
    for block in blocks:
        if block["type"] == "tool_result":
            content, pictures = _result(block.get("content"))
            results.append({"role": "tool", "tool_call_id": block["tool_use_id"], "content": content})
            parts += pictures
        else:
            parts.append(_part(block))
    return [*results, *([{"role": "user", "content": parts}] if parts else [])]


def _result(content: Any) -> tuple[str, list[dict[str, Any]]]:
    """A tool's result as text; what else it holds can only be said by the user."""
    if content is None or isinstance(content, str):
        return content or "", []
    text = "\n".join(block["text"] for block in content if block["type"] == "text")
    return text, [_part(block) for block in content if block["type"] != "text"]


def _part(block: Mapping[str, Any]) -> dict[str, Any]:
    kind, source = block["type"], block.get("source") or {}
    if kind == "text":
        return {"type": "text", "text": block["text"]}
    if kind == "image" and source.get("type") in ("base64", "url"):
        return {"type": "image_url", "image_url": {"url": _address(source)}}
    if kind == "document" and source.get("type") == "text":
        return {"type": "text", "text": source["data"]}
    if kind == "document" and source.get("type") == "base64":
        name = block.get("title") or "document.pdf"
        return {"type": "file", "file": {"filename": name, "file_data": _address(source)}}
    raise _refused(
        f"a block of type {kind!r} with a source of type {source.get('type')!r} has no counterpart"
    )


def _address(source: Mapping[str, Any]) -> str:
    return (
        str(source["url"])
        if source["type"] == "url"
        else f"data:{source['media_type']};base64,{source['data']}"
    )


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type", "custom") != "custom":
        raise _refused(f"the tool {tool['type']!r} is run by Claude's provider alone")
    function = {
        "name": tool["name"],
        "description": tool.get("description"),
        "parameters": tool["input_schema"],
    }
    return {
        "type": "function",
        "function": {name: value for name, value in function.items() if value is not None},
    }


def _choice(choice: Any) -> dict[str, Any]:
    if not choice:
        return {}
    named = {"type": "function", "function": {"name": choice.get("name")}}
    words: dict[str, Any] = {"auto": "auto", "any": "required", "none": "none", "tool": named}
    made = {"tool_choice": words[choice["type"]]}
    return made | ({"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {})


def _output(config: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"reasoning_effort": config.get("effort")}
    form = config.get("format")
    if form is not None:
        schema = form["schema"]
        strict = {"strict": True} if _is_strict(schema) else {}
        made["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, **strict},
        }
    return made


def _is_strict(schema: Any) -> bool:
    """Whether a schema can be enforced: its objects name every property, and require each."""
    if isinstance(schema, list):
        return all(map(_is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    if "properties" in schema or schema.get("type") == "object":
        names = schema.get("properties") or {}
        if schema.get("additionalProperties") is not False or set(schema.get("required") or ()) != set(names):
            return False
    return all(map(_is_strict, schema.values()))


def _refused(why: str) -> RequestRejected:
    return RequestRejected(f"{why}: this record's model is not Claude's", type="unsupported_request")
