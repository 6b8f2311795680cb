"""Whether the cost of a whole request has an upper bound, and how long its answer may be."""

from collections.abc import Mapping
from typing import Any

from app.ingest.bounds import bounds_answer, more_than_asked

# What bounds the tokens of an answer, by path; an older name may stand beside a newer one.
BOUNDS = {
    "/v1/chat/completions": ("max_completion_tokens", "max_tokens"),
    "/v1/responses": ("max_output_tokens",),
    "/v1/completions": ("max_tokens",),
}
MOST = ("max_completion_tokens", "max_output_tokens", "max_tokens")  # of any path
# Tuples, as a type may be anything that JSON can say, and a set would have to hash it.
TEXT = ("text", "input_text", "output_text", "refusal")  # types of parts with text alone
ITEMS = ("message", "function_call", "function_call_output", "reasoning")  # of a response's input
RUN_HERE = ("function", "custom")  # types of tools that whoever asks runs
USUAL_TIERS = (None, "auto", "default", "flex", "batch", "standard", "standard_only")
EMBEDDINGS = "/v1/embeddings"


def most_tokens(url: str, body: Mapping[str, Any]) -> int | None:
    """The most tokens that an answer may have; None where the request does not say, or says no such number.

    Of two names the larger counts: endpoints differ in which of them they heed.
    """
    found = [body[name] for name in BOUNDS.get(url, ()) if body.get(name) is not None]
    return max(found, default=None) if all(map(bounds_answer, found)) else None


def unbounded(url: str, body: Mapping[str, Any]) -> str | None:
    """Why the cost of a request has no upper bound; None when it has one."""
    if url == EMBEDDINGS:
        return None
    if most_tokens(url, body) is None:
        return f"the request does not say how long its answer may be (`{_name_of_bound(url)}`)"
    if body.get("service_tier") not in USUAL_TIERS:
        return f"the service tier {str(body['service_tier'])[:40]!r} has prices of its own"
    if why := more_than_asked(body):
        return why
    if url == "/v1/responses" and body.get("prompt"):
        return "`prompt` adds tokens that are not in the request"
    for tool in _list(body.get("tools")):
        if isinstance(tool, Mapping) and tool.get("type") not in RUN_HERE:
            return f"the provider runs the tool {tool.get('type')!r} itself, and bills for it"
    return _of_items(_list(body.get("messages")) or _list(body.get("input")))


def _name_of_bound(url: str) -> str:
    return BOUNDS.get(url, MOST)[0]


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
