"""What the regular expressions of a JSON Schema cost: to compile, and to search for."""

import re
from collections.abc import Iterator
from typing import Any

from app.core.requests.schema_references import places

CASELESS = 10  # times as expensive: of each class its letters' other cases are collected

_FLAGS = re.compile(r"\(\?[^:]")
_SHORTHAND = re.compile(r"\\[A-Za-z]")
_TOKEN = re.compile(
    r"\\[pPxu]\{[^}]*\}|\\.|\[(?:\\.|[^\]\\])*\]|\{(?P<low>\d{1,9})(?:,(?P<high>\d{0,9}))?\}|.", re.DOTALL
)
_CLASS = 20  # states of a class of characters
MOST_STATES = 60_000  # of a pattern that is small enough to be compiled


def of(schema: Any) -> Iterator[str]:
    """The patterns of a schema, and whatever else has their names."""
    for place in places(schema):
        if not isinstance(place, dict):
            continue
        if isinstance(pattern := place.get("pattern"), str):
            yield pattern
        if isinstance(named := place.get("patternProperties"), dict):
            yield from named


def price(pattern: str) -> int:
    """The price of compiling a pattern, in characters: each takes up to 10 microseconds.

    Shorthands such as `\\w` are replaced one after the other, each in the whole pattern.
    """
    shorthands = len(_SHORTHAND.findall(pattern))
    return len(pattern) * (CASELESS if _FLAGS.search(pattern) else 1) + shorthands**2 // 30


def states(pattern: str) -> int:
    """About how many states a search goes through for each character of a text, at most."""
    if _FLAGS.search(pattern):
        return MOST_STATES  # comments and other syntax
    open_groups, last = [0], 0
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if text == "(":
            open_groups.append(0)
            last = 0
        elif text == ")" and len(open_groups) > 1:
            last = open_groups.pop()
            open_groups[-1] += last
        elif token["low"] is not None:
            times = max(int(token["low"]), int(token["high"] or 0), 1)
            open_groups[-1] += last * (times - 1)
            last *= times
        else:
            last = 1 if len(text) == 1 else _CLASS
            open_groups[-1] += last
    return min(sum(open_groups), MOST_STATES)
