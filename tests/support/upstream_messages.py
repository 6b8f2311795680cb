"""Requests and answers of the Messages API, as a provider of the tests reads and writes them."""

import json
import math
from typing import Any

CHARACTERS_PER_TOKEN = 4


def read_json(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def last_user_text(params: dict[str, Any]) -> str:
    for message in reversed(params.get("messages") or []):
        if message.get("role") != "user":
            continue
        content = message.get("content")
        if isinstance(content, str):
            return content
        return " ".join(block.get("text", "") for block in content or [])
    return ""


def count_tokens(text: str) -> int:
    """There is always one."""
    return max(1, math.ceil(len(text) / CHARACTERS_PER_TOKEN))


def events_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A message as the events of a stream."""
    text: str = message["content"][0]["text"]
    start = message | {"content": [], "stop_reason": None, "usage": message["usage"] | {"output_tokens": 1}}
    empty = {"type": "text", "text": ""}
    end = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "ping"},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": text[at : at + 20]},
            }
            for at in range(0, len(text), 20)
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": end,
            "usage": {"output_tokens": message["usage"]["output_tokens"]},
        },
        {"type": "message_stop"},
    ]
