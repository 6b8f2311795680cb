"""What a record will ask, as a person reads it before paying for it."""

import json
from typing import Any

from app.ingest.draft import Defaults, Draft
from app.ingest.templates import Template

LONGEST = 2_000  # characters


def prompt_of(draft: Draft, defaults: Defaults, template: Template | None) -> str | None:
    """The text of a record's last message, cut to `LONGEST` characters; None where it asks without text."""
    record: dict[str, Any] = json.loads(draft.body)
    if "operation" in record:
        text = defaults.operations[record["operation"]].prompt_for(record["row"])
    elif "row" in record and template is not None:
        text = template.render(record["row"])
    elif "document" in record:
        text = defaults.prompt or ""
    else:
        text = _text(record)
    return shortened(text) or None


def shortened(text: str) -> str:
    """A prompt cut to `LONGEST` characters."""
    text = text.encode("utf-8", "backslashreplace").decode()  # JSON may hold half of a surrogate pair
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _text(record: dict[str, Any]) -> str:
    if "row" in record:
        return str(record["row"].get("prompt", ""))
    if "prompt" in record:
        return str(record["prompt"])
    body = record.get("body", {})
    if isinstance(text := body.get("input", body.get("prompt")), str):
        return text
    asked = record.get("params") or body or record
    messages = asked.get("messages") or body.get("input")
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "\n".join(block["text"] for block in blocks if _is_text(block))


def _is_text(block: Any) -> bool:
    """Whatever a sender wrote there is passed on, and need not be what a provider takes."""
    return isinstance(block, dict) and isinstance(block.get("text"), str)
