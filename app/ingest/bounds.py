"""Whether the cost of a request has an upper bound: only for text is a token at least one byte."""

from collections.abc import Mapping
from typing import Any

from app.ingest.draft import Defaults

# Blocks whose only content is their text; no set, as it would have to hash whatever stands as a type.
TEXT = ("text", "tool_use", "tool_result", "thinking", "redacted_thinking")
# What they add is not in the request; the second line is of other APIs, to whose endpoints it is passed on.
ELSEWHERE = (
    *("mcp_servers", "container", "context_management"),
    *("previous_response_id", "conversation", "web_search_options", "audio", "prefix"),
)

PRICED_BY = ("model", "inference_geo", "speed")  # in a request
MAX_MODEL = 200  # characters; no model has a longer name
MAX_TOKENS = 1_000_000  # of an answer; no model writes more


def bounds_answer(tokens: object, least: int = 1) -> bool:
    """Whether a value of a request can be the most tokens of its answer."""
    return type(tokens) is int and least <= tokens <= MAX_TOKENS


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
    if why := more_than_asked(request):
        return why
    for tool in _list(request.get("tools")):
        if isinstance(tool, Mapping) and tool.get("type", "custom") != "custom":
            return f"the provider runs the tool {tool.get('type')!r} itself, and bills for it"
    for message in _list(request.get("messages")):
        if isinstance(message, Mapping) and (why := _blocks(message.get("content"))):
            return why
    return _blocks(request.get("system"))


def more_than_asked(request: Mapping[str, Any]) -> str | None:
    """Which key makes a call of either API cost more than its prompt and one answer; None where none does."""
    for name in ELSEWHERE:
        if request.get(name):
            return f"`{name}` adds tokens that are not in the request"
    for name in ("n", "best_of"):
        if request.get(name) not in (None, 1):
            return f"`{name}` asks for several answers"
    if request.get("prediction"):
        return "`prediction` is billed as an answer where it does not come true"
    return None


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
