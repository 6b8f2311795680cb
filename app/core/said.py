"""What a stored answer says."""

import json


def said(answer: bytes) -> str:
    """The text of an answer; all of it if it says nothing in the way that was expected."""
    try:
        blocks = json.loads(answer)["content"]
        return "".join(block["text"] for block in blocks if block["type"] == "text")
    except (KeyError, TypeError, ValueError):
        return answer.decode("utf-8", "replace")
