"""A Messages answer: validated, and read for its text and its usage."""

import json
from typing import Any, NoReturn

from app.errors import BadAnswer
from app.providers.client import RateLimits, Reply, Usage

MOST = 2**31 - 1  # plausible tokens of one call, and as many as a row can hold

# JSON escapes line breaks inside strings, so any others are between tokens.
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


def read(body: bytes, request_id: str | None, limits: RateLimits | None = None) -> Reply:
    """The reply in `body`; raises `BadAnswer` unless it is one Messages answer with its usage."""
    message = _parse(body, request_id)
    if not isinstance(message, dict) or message.get("type") != "message":
        raise BadAnswer(f"the provider's answer is not a message: {_excerpt(body)}", request_id=request_id)
    try:
        usage, text = _usage(message["usage"]), _text(message["content"])
    except (AttributeError, KeyError, TypeError, ValueError) as fault:
        raise BadAnswer(
            f"the provider's message has no readable content and usage ({fault!r}): {_excerpt(body)}",
            request_id=request_id,
        ) from fault
    return Reply(
        body=body.translate(_LINE_BREAKS), usage=usage, request_id=request_id, text=text, limits=limits
    )


def parsed(body: bytes) -> Any:
    """The value of JSON in UTF-8; raises `ValueError` or `RecursionError` if it is invalid."""
    return _DECODER.decode(body.decode())


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # `json.loads` makes a decoder for every call


def _parse(body: bytes, request_id: str | None) -> Any:
    try:
        return parsed(body)
    except (ValueError, RecursionError) as fault:  # also for bytes that are not UTF-8
        raise BadAnswer(
            f"the provider's answer is not JSON ({fault}): {_excerpt(body)}", request_id=request_id
        ) from None


def _usage(usage: dict[str, Any]) -> Usage:
    written = _count(usage, "cache_creation_input_tokens")
    written_for_an_hour = min(written, _count(usage.get("cache_creation") or {}, "ephemeral_1h_input_tokens"))
    server_tools = usage.get("server_tool_use") or {}
    tier = usage.get("service_tier")
    return Usage(
        input_tokens=_count(usage, "input_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        cache_read_tokens=_count(usage, "cache_read_input_tokens"),
        cache_write_5m_tokens=written - written_for_an_hour,
        cache_write_1h_tokens=written_for_an_hour,
        server_tool_uses={name: _count(server_tools, name) for name in server_tools},
        service_tier=tier if isinstance(tier, str) else None,
    )


def _count(counts: dict[str, Any], name: str) -> int:
    """A count that may be absent or null."""
    count = counts.get(name) or 0
    if type(count) is not int or not 0 <= count <= MOST:
        raise ValueError(f"{name} is {count!r}")
    return count


def _text(content: list[dict[str, Any]]) -> str:
    return "".join(block["text"] for block in content if block["type"] == "text")


def _excerpt(body: bytes) -> str:
    """The beginning of an answer, for an error message."""
    return body[:200].decode(errors="replace").replace("\0", "\ufffd")
