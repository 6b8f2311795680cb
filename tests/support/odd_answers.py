"""Messages answers in the shapes in which gateways and relays send them."""

import json
from typing import Any


def message(text: str = "fine", stop: str | None = "end_turn", **parts: Any) -> str:
    """A reply with status 200; a part that is `...` is left out."""
    reply = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 30, "output_tokens": 20},
    } | parts
    return json.dumps({name: part for name, part in reply.items() if part is not ...}, ensure_ascii=False)


def body(text: str, **fault: Any) -> dict[str, Any]:
    """The fault of the upstream that sends `text`."""
    return {"kind": "body", "body": text, **fault}


def stream(*events: dict[str, Any]) -> str:
    """A stream of these events."""
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
