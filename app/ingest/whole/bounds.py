"""Whether the cost of a whole request has an upper bound, and how long its answer may be."""

from collections.abc import Mapping
from typing import Any

MOST = ("max_completion_tokens", "max_output_tokens", "max_tokens")  # tokens of an answer, by path and age
ELSEWHERE = ("previous_response_id", "conversation", "web_search_options", "audio", "prefix")
TEXT = frozenset({"text", "input_text", "output_text", "refusal"})  # types of parts with text alone
ITEMS = frozenset({"message", "function_call", "function_call_output", "reasoning"})  # of a response's input
RUN_HERE = frozenset({"function", "custom"})  # types of tools that whoever asks runs
USUAL_TIERS = (None, "auto", "default", "flex", "batch", "standard", "standard_only")
EMBEDDINGS = "/v1/embeddings"


def most_tokens(body: Mapping[str, Any]) -> int | None:
    """The most tokens that an answer may have; None where the request does not say."""
    found: int | None = next((body[name] for name in MOST if body.get(name) is not None), None)
    return found


def unbounded(url: str, body: Mapping[str, Any]) -> str | None:
    """Why the cost of a request has no upper bound; None when it has one."""
    if url == EMBEDDINGS:
        return None
    if most_tokens(body) is None:
        return f"the request does not say how long its answer may be (`{_name_of_bound(url)}`)"
    for name in ELSEWHERE:
        if body.get(name):
            return f"`{name}` adds tokens that are not in the request"
    if body.get("service_tier") not in USUAL_TIERS:
        return f"the service tier {str(body['service_tier'])[:40]!r} has prices of its own"
    for name in ("n", "best_of"):
        if body.get(name) not in (None, 1):
            return f"`{name}` asks for several answers"
    if url == "/v1/responses" and body.get("prompt"):
        return "`prompt` adds tokens that are not in the request"
    for tool in _list(body.get("tools")):
        if isinstance(tool, Mapping) and tool.get("type") not in RUN_HERE:
            return f"the provider runs the tool {tool.get('type')!r} itself, and bills for it"
    return _of_items(_list(body.get("messages")) or _list(body.get("input")))


def _name_of_bound(url: str) -> str:
    names = {"/v1/chat/completions": MOST[0], "/v1/responses": MOST[1]}
    return names.get(url, MOST[2])


def _of_items(items: list[Any]) -> str | None:
    for item in items:
        if not isinstance(item, Mapping):
            continue
        if item.get("type", "message") not in ITEMS:
            return f"an item of type {item.get('type')!r} may be any number of tokens"
        for part in _list(item.get("content")):
            if isinstance(part, Mapping) and part.get("type") not in TEXT:
                return f"a part of type {part.get('type')!r} may be any number of tokens"
    return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
