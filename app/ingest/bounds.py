"""Whether the cost of a request has an upper bound: only for text is a token at least one byte."""

from collections.abc import Mapping
from typing import Any

from app.ingest.draft import Defaults

# Blocks whose only content is their text.
TEXT = frozenset({"text", "tool_use", "tool_result", "thinking", "redacted_thinking"})
ELSEWHERE = ("mcp_servers", "container", "context_management")  # what they add is not in the request


PRICED_BY = ("model", "inference_geo", "speed")  # in a request
MAX_MODEL = 200  # characters; no model has a longer name


def priced_by(request: Mapping[str, Any], defaults: Defaults) -> dict[str, str] | None:
    """The price-relevant params of a request that differ from its job's; None if there are none."""
    shared = {**defaults.params, "model": defaults.model}
    return {
        name: value
        for name in PRICED_BY
        if isinstance(value := request.get(name), str)
        and value != shared.get(name)
        and len(value) <= MAX_MODEL
    } or None


def unbounded(request: Mapping[str, Any]) -> str | None:
    """Why the cost of a request, or of a part of one, has no upper bound; None when it has one."""
    for name in ELSEWHERE:
        if request.get(name):
            return f"`{name}` adds tokens that are not in the request"
    for tool in _list(request.get("tools")):
        if isinstance(tool, Mapping) and tool.get("type", "custom") != "custom":
            return f"the provider runs the tool {tool.get('type')!r} itself, and bills for it"
    for message in _list(request.get("messages")):
        if isinstance(message, Mapping) and (why := _blocks(message.get("content"))):
            return why
    return _blocks(request.get("system"))


def _blocks(content: Any) -> str | None:
    for block in _list(content):
        if not isinstance(block, Mapping):
            continue
        if block.get("type") not in TEXT:
            return f"a block of type {block.get('type')!r} may be any number of tokens"
        if block.get("type") == "tool_result" and (why := _blocks(block.get("content"))):
            return why
    return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
