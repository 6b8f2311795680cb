"""Structured answers of a provider of the tests: what is true of a text, and eight ways to say it badly."""

import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

FIELDS = ["sentiment: positive | negative | neutral", "score: 1..5", "topics: list of text", "note: text"]


def truth(text: str) -> dict[str, Any]:
    """The only right answer about a text."""
    chance = _chance(text)
    return {
        "sentiment": chance.choice(["positive", "negative", "neutral"]),
        "score": chance.randint(1, 5),
        "topics": [f"topic {chance.randint(1, 99)}" for _ in range(chance.randint(0, 3))],
        "note": f"it's note {chance.randint(1, 999)}, with {{brackets}}",
    }


def answer(params: dict[str, Any], sha256: str, share: float) -> str:
    """The answer to a request, well formed but for a share of all: by the bytes of the request."""
    right = truth(str(params["messages"][0]["content"]))
    chance = _chance(sha256)
    return chance.choice(WAYS)(right) if chance.random() < share else json.dumps(right)


def _fenced(right: dict[str, Any]) -> str:
    return f"```json\n{json.dumps(right, indent=2)}\n```"


def _amid_prose(right: dict[str, Any]) -> str:
    return f"Sure! Here is what you asked for:\n\n{json.dumps(right)}\n\nLet me know if you need more."


def _commas(right: dict[str, Any]) -> str:
    return json.dumps(right, indent=1)[:-2] + ",\n}"


def _bare_names(right: dict[str, Any]) -> str:
    text = json.dumps(right)
    for name in right:
        text = text.replace(f'"{name}":', f"{name}:")
    return text


def _cut(right: dict[str, Any]) -> str:
    text = json.dumps(right)
    return text[: len(text) * 2 // 3]


def _wrong_type(right: dict[str, Any]) -> str:
    return json.dumps({**right, "score": f"{right['score']} of 5"})


def _other_word(right: dict[str, Any]) -> str:
    return json.dumps({**right, "sentiment": "mixed"})


def _incomplete(right: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in right.items() if name != "score"})


WAYS: tuple[Callable[[dict[str, Any]], str], ...] = (
    *(_fenced, _amid_prose, _commas, _bare_names),  # can be read
    *(_cut, _wrong_type, _other_word, _incomplete),  # must be said again
)


def _chance(text: str) -> random.Random:
    return random.Random(hashlib.sha256(text.encode()).hexdigest())
