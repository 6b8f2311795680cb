"""A Messages answer: recognised in whatever shape it comes, and read for its text, its end and its usage.

An answer is paid for, so nothing odd about it may lose it: where its counts cannot be read its usage is
unknown, and content in another form gives the text that it has.
"""

import json
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import Any, NoReturn

from app.errors import BadAnswer
from app.providers import refusals
from app.providers.client import MAX_TOKENS, REFUSAL, Reply, Usage

MOST = 2**31 - 1  # plausible tokens of one call, and as many as a row can hold
LONGEST_REASON = 64  # characters of a `stop_reason`
# What relays of other models say instead: an answer that was cut or refused must not pass for a whole one.
REASONS = {"length": MAX_TOKENS, "max_tokens": MAX_TOKENS, "content_filter": REFUSAL, "safety": REFUSAL}
THOUGHTS = ("thinking", "redacted_thinking")  # types of blocks

# JSON escapes line breaks inside strings, so any others are between tokens.
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")
_NO_HEADERS: Mapping[str, str] = {}


def read(body: bytes, request_id: str | None, headers: Mapping[str, str] = _NO_HEADERS) -> Reply:
    """The reply in `body`, which came with status 200 and `headers`.

    Raises `BadAnswer` unless it is a Messages answer, and the error that it holds where it is one.
    """
    body, message = document(body, request_id)
    if (error := refusals.error_within(message)) is not None:
        raise refusals.read(200, error, headers)
    if not isinstance(message, dict) or not _is_message(message):
        raise BadAnswer(f"the provider's answer is not a message: {excerpt(body)}", request_id=request_id)
    usage, text = usage_of(message), text_of(message)
    return Reply(
        body=body,
        usage=usage if usage is not None and _can_be(usage, text) else None,
        request_id=request_id,
        text=text,
        limits=refusals.rate_limits(headers),
        stop_reason=stop_reason_of(message),
        stop_details=_details(message.get("stop_details")),
    )


def document(body: bytes, request_id: str | None) -> tuple[bytes, Any]:
    """An answer in one line, and its value; raises `BadAnswer` unless it is JSON."""
    body = body.removeprefix(BOM_UTF8)
    return body.translate(_LINE_BREAKS), _parse(body, request_id)


def parsed(body: bytes) -> Any:
    """The value of JSON in UTF-8; raises `ValueError` or `RecursionError` if it is invalid."""
    return _DECODER.decode(body.decode())


def content_of(message: Mapping[str, Any]) -> list[Any]:
    """The content of a message as blocks. It may be null, a bare text or a single block."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if isinstance(content, dict):
        return [content]
    return content if isinstance(content, list) else []


def sendable(message: Mapping[str, Any], *, is_last: bool = False) -> list[Any]:
    """The content of an earlier answer as its provider takes it back.

    It refuses texts in which nothing can be seen, thoughts with nothing behind them (an answer that was cut
    while the model thought), and spaces at the end of what it is to go on with (`is_last`).
    """
    blocks = [whole for block in content_of(message) if (whole := _whole_block(block)) is not None]
    while blocks and blocks[-1]["type"] in THOUGHTS:
        blocks.pop()
    if is_last and blocks and blocks[-1]["type"] == "text":
        blocks[-1] = {**blocks[-1], "text": blocks[-1]["text"].rstrip()}
    return blocks


def text_of(message: Mapping[str, Any]) -> str:
    """The text blocks of a message, joined."""
    return "".join(_text(block) for block in content_of(message))


def stop_reason_of(message: Mapping[str, Any]) -> str | None:
    """Why the provider ended a message, in a form that every database stores; None where it does not say."""
    reason = message.get("stop_reason")
    if not isinstance(reason, str) or not reason:
        return None
    return REASONS.get(reason.lower()) or refusals.cleaned(reason)[:LONGEST_REASON]


def usage_of(message: Mapping[str, Any]) -> Usage | None:
    """What a message's call took; None unless both counts are there and each is plausible."""
    usage: Any = message.get("usage")
    try:
        if usage["input_tokens"] is None or usage["output_tokens"] is None:
            return None
        written = count(usage, "cache_creation_input_tokens")
        for_an_hour = min(written, count(usage.get("cache_creation") or {}, "ephemeral_1h_input_tokens"))
        server_tools = usage.get("server_tool_use") or {}
        tier = usage.get("service_tier")
        return Usage(
            input_tokens=count(usage, "input_tokens"),
            output_tokens=count(usage, "output_tokens"),
            cache_read_tokens=count(usage, "cache_read_input_tokens"),
            cache_write_5m_tokens=written - for_an_hour,
            cache_write_1h_tokens=for_an_hour,
            server_tool_uses={name: count(server_tools, name) for name in server_tools},
            service_tier=tier if isinstance(tier, str) else None,
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def joined(first: Reply, second: Reply) -> Reply:
    """An answer and its continuation as one: the second message with the contents and counts of both.

    What the answer took is unknown if one of the two does not say.
    """
    before, after = json.loads(first.body), json.loads(second.body)
    whole = {**after, "content": content_of(before) + content_of(after)}
    if isinstance(before.get("usage"), dict) and isinstance(after.get("usage"), dict):
        whole["usage"] = _added(before["usage"], after["usage"])
    return Reply(
        body=json.dumps(whole, separators=(",", ":")).encode(),
        usage=None if first.usage is None or second.usage is None else first.usage.plus(second.usage),
        request_id=second.request_id,
        text=first.text + second.text,
        limits=second.limits,
        stop_reason=second.stop_reason,
        stop_details=second.stop_details,
    )


def count(counts: Mapping[str, Any], name: str) -> int:
    """A count that may be absent or null."""
    count = counts.get(name)
    if count is None:
        return 0
    if type(count) is not int or not 0 <= count <= MOST:
        raise ValueError(f"{name} is {count!r}")
    return count


def excerpt(body: bytes) -> str:
    """The beginning of an answer, for an error message."""
    return body[:200].decode(errors="replace").replace("\0", "\ufffd")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # `json.loads` makes a decoder for every call


def _parse(body: bytes, request_id: str | None) -> Any:
    try:
        return parsed(body)
    except (ValueError, RecursionError) as fault:  # also for bytes that are not UTF-8
        raise BadAnswer(
            f"the provider's answer is not JSON ({fault}): {excerpt(body)}", request_id=request_id
        ) from None


def _is_message(message: Mapping[str, Any]) -> bool:
    """Whether it is called a message, or is one whose relay left its type out."""
    return message.get("type") == "message" or ("type" not in message and "content" in message)


def _whole_block(block: Any) -> dict[str, Any] | None:
    """A block that says its type; None for a blank text, and for what is no block."""
    if isinstance(block, dict) and isinstance(kind := block.get("type", "text"), str) and kind != "text":
        return block
    text = _text(block)
    if not text.strip():
        return None
    return {**(block if isinstance(block, dict) else {}), "type": "text", "text": text}


def _text(block: Any) -> str:
    if isinstance(block, str):
        return block
    if not isinstance(block, dict) or block.get("type", "text") != "text":
        return ""
    text = block.get("text")
    return text if isinstance(text, str) else ""


def _details(details: Any) -> str | None:
    """What the provider says about a refusal, in a few words."""
    if not isinstance(details, dict):
        return None
    said = [details.get(name) for name in ("explanation", "category")]
    return refusals.cleaned("; ".join(text for text in said if isinstance(text, str) and text)) or None


def _can_be(usage: Usage, text: str) -> bool:
    """Whether something was read, and something written where there is a text."""
    return usage.prompt_tokens > 0 and (usage.output_tokens > 0 or not text)


def _added(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Counts added up, at any depth; of everything else the second."""
    return {**first, **{name: _sum(first.get(name), value) for name, value in second.items()}}


def _sum(first: Any, second: Any) -> Any:
    if isinstance(first, dict) and isinstance(second, dict):
        return _added(first, second)
    if type(first) is int and type(second) is int:
        return first + second
    return first if second is None else second
