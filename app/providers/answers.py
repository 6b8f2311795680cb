"""A Messages answer: checked, and read for what it says and what it cost."""

import json
from typing import Any, NoReturn

from app.errors import BadAnswer
from app.providers.client import RateLimits, Reply, Usage

MOST = 2**31 - 1  # tokens of one call that anybody could believe, and a row can hold

# JSON escapes line breaks inside its strings, so those that are left stand between tokens.
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


def read(body: bytes, request_id: str | None, limits: RateLimits | None = None) -> Reply:
    """The reply that `body` is; raises `BadAnswer` unless it is one Messages answer with its usage."""
    message = _parse(body, request_id)
    if not isinstance(message, dict) or message.get("type") != "message":
        raise BadAnswer(f"the provider's answer is no message: {_excerpt(body)}", request_id=request_id)
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
    """What JSON in UTF-8 says; raises `ValueError` or `RecursionError` for what is none."""
    return _DECODER.decode(body.decode())


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # `json.loads` makes another for every call


def _parse(body: bytes, request_id: str | None) -> Any:
    try:
        return parsed(body)
    except (ValueError, RecursionError) as fault:  # also bytes that are no UTF-8
        raise BadAnswer(
            f"the provider's answer is no JSON ({fault}): {_excerpt(body)}", request_id=request_id
        ) from None


def _usage(told: dict[str, Any]) -> Usage:
    written = _count(told, "cache_creation_input_tokens")
    written_for_an_hour = min(written, _count(told.get("cache_creation") or {}, "ephemeral_1h_input_tokens"))
    server_tools = told.get("server_tool_use") or {}
    tier = told.get("service_tier")
    return Usage(
        input_tokens=_count(told, "input_tokens"),
        output_tokens=_count(told, "output_tokens"),
        cache_read_tokens=_count(told, "cache_read_input_tokens"),
        cache_write_5m_tokens=written - written_for_an_hour,
        cache_write_1h_tokens=written_for_an_hour,
        server_tool_uses={name: _count(server_tools, name) for name in server_tools},
        service_tier=tier if isinstance(tier, str) else None,
    )


def _count(told: dict[str, Any], name: str) -> int:
    """A count that may be absent or null."""
    count = told.get(name) or 0
    if type(count) is not int or not 0 <= count <= MOST:
        raise ValueError(f"{name} is {count!r}")
    return count


def _text(content: list[dict[str, Any]]) -> str:
    return "".join(block["text"] for block in content if block["type"] == "text")


def _excerpt(body: bytes) -> str:
    """The beginning of an answer, fit for an error's message."""
    return body[:200].decode(errors="replace").replace("\0", "\ufffd")
