"""JSON read out of an answer that is not quite JSON: in a fence, amid prose, with a comma too many.

Nothing is guessed. What is read has the same letters and digits in the same order as what was written, each
text stood between quotation marks, and every bracket was closed; anything else is for the model to say again.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import json_repair

from app.ingest.draft import MAX_DEPTH

LONGEST = 20_000  # characters that are mended; `json_repair` takes some microseconds for each

_FENCE = re.compile(r"```[A-Za-z0-9_+-]*[ \t]*\r?\n(.*?)```", re.DOTALL)
_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|["\\/bfnrt\'])')
_COMMENT = re.compile(r"/\*.*?\*/|(?m:^[ \t]*//[^\n]*$)", re.DOTALL)
_WORDS = {"none": "null"}  # of Python
_CLOSES = {"{": "}", "[": "]"}


def mend(text: str) -> Any:
    """The value; raises `ValueError` where it would have to be guessed."""
    if len(text) > LONGEST:
        raise ValueError("it is too long to be mended")
    candidate = _only_json(text)
    try:
        return json.loads(candidate)
    except ValueError:
        pass
    candidate = _COMMENT.sub("", candidate)
    value = json_repair.loads(candidate, skip_json_loads=True)
    if _marks(json.dumps(value, ensure_ascii=False)) != _marks(candidate):
        raise ValueError("what was meant cannot be told from what was written")
    if not all(_is_quoted(one, candidate) for one in _texts(value)):
        raise ValueError("a text does not stand between quotation marks")
    return value


def _only_json(text: str) -> str:
    """The one object or list in a text; raises `ValueError` where there is none, several, or an open one."""
    fenced = _FENCE.findall(text)
    if len(fenced) > 1:
        raise ValueError("it has several blocks of code")
    found = list(_blocks(fenced[0] if fenced else text))
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} JSON values")
    return found[0]


def _blocks(text: str) -> Iterator[str]:
    """Outermost objects and lists, each from its opening bracket to its closing one.

    Brackets in prose, as in `[1]`, are lists as well. Raises `ValueError` for one that is not closed.
    """
    closing: list[str] = []
    start, is_text, is_escaped = 0, False, False
    for position, character in enumerate(text):
        if is_text:
            is_text = is_escaped or character != '"'
            is_escaped = character == "\\" and not is_escaped
        elif closing and character == '"':
            is_text = True
        elif character in _CLOSES:
            if not closing:
                start = position
            closing.append(_CLOSES[character])
            if len(closing) > MAX_DEPTH:  # `json_repair` takes time by the square of it
                raise ValueError("it is nested too deeply")
        elif closing and character in "}]":
            if character != closing.pop():
                raise ValueError("its brackets do not match")
            if not closing:
                yield text[start : position + 1]
    if closing:
        raise ValueError("a bracket is not closed")


def _marks(json_text: str) -> str:
    """Its letters and digits, as they stand."""
    read = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)) if escape[1] else "", json_text).lower()
    words = re.findall(r"[^\W_]+", read)
    return "".join(_WORDS.get(word, word) for word in words)


def _texts(value: Any) -> Iterator[str]:
    """The texts in it; names only if they need quotation marks."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if not name.isidentifier():
                yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _is_quoted(text: str, candidate: str) -> bool:
    """Whether it stands in quotation marks, with those in it escaped."""
    written = {json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]}
    if '"' not in text and "\\" not in text:
        written.add(text)
    return any(
        f'"{one}"' in candidate
        or "'{}'".format(one.replace("'", "\\'")) in candidate
        or f"“{one}”" in candidate
        for one in written
    )
