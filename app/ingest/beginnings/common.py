"""How far the requests of a job are the same from their start, where each record brings its own messages.

Such are prompts made by a program from one text, and questions about one document that each of them attaches.
"""

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Self

LEAST = 4_000  # bytes; no provider keeps a beginning of fewer

SETS_ITS_OWN = b'"cache_control"'  # in the JSON of a request that says itself what of it is to be kept
_PROMPT, _MESSAGES, _REFUSED = b'{"prompt":"', b'{"messages":[', b'{"refused":'
_MESSAGE = re.compile(r'\{"role":"(?:user|assistant)","content":')
_LONGEST_ESCAPE = 12  # characters: two halves of a pair


@dataclass(frozen=True, slots=True)
class SharedInput:
    """Where the part of the messages ends that is the same in all records."""

    size: int  # bytes of JSON
    message: int  # the place of the message that it ends in
    block: int | None = None  # the place of the block in its content that it ends with; None: that is a text
    characters: int | None = None  # of that text; None: all of it

    @classmethod
    def of(cls, stored: dict[str, Any] | None) -> Self | None:
        return None if stored is None else cls(**stored)

    def stored(self) -> dict[str, Any]:
        return asdict(self)


class CommonBeginning:
    """Is told the body of each record, one after the other, and holds what all of them begin with."""

    def __init__(self) -> None:
        self._text: bytes | None = None
        self._count = 0

    def add(self, body: bytes, *, is_turn: bool) -> None:
        """`is_turn`: of a conversation, which begins with its earlier turns."""
        if self._text == b"" or body.startswith(_REFUSED) or SETS_ITS_OWN in body:
            return  # what sets its own is passed as it is, and keeps nobody else from sharing
        self._count += 1
        if is_turn or not body.startswith((_PROMPT, _MESSAGES)):
            self._text = b""
        elif self._text is None:
            self._text = body
        elif not body.startswith(self._text):
            length = _equal(self._text, body)
            self._text = self._text[:length] if length >= LEAST else b""

    def found(self) -> SharedInput | None:
        """Nothing where only two records, or fewer, would begin with it."""
        text = (self._text or b"").decode(errors="ignore") if self._count > 2 else ""
        if text.startswith(_PROMPT.decode()):
            found = _of_text(text, len(_PROMPT), 0)
        else:
            found = _of_messages(text) if text else None
        return found if found is not None and found.size >= LEAST else None


def _equal(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _of_messages(text: str) -> SharedInput | None:
    found, place, at = None, 0, len(_MESSAGES)
    while (whole := _value(text, at)) is not None:
        message, end = whole
        content = message["content"]
        block = None if isinstance(content, str) else len(content) - 1
        found = SharedInput(_size(text[:end]), place, block)
        if text[end : end + 1] != ",":
            return found
        place, at = place + 1, end + 1
    begun = _MESSAGE.match(text, at)
    if begun is None:
        return found
    kind = text[begun.end() : begun.end() + 1]
    part = (_of_text if kind == '"' else _of_blocks)(text, begun.end() + 1, place)
    return part or found


def _of_blocks(text: str, at: int, place: int) -> SharedInput | None:
    found, block = None, 0
    while (whole := _value(text, at)) is not None:
        found = SharedInput(_size(text[: whole[1]]), place, block)
        block, at = block + 1, whole[1] + 1
    return found


def _of_text(text: str, at: int, place: int) -> SharedInput | None:
    """Up to the last space, so that no word is parted."""
    shared = _unescaped(text[at:])
    characters = max(shared.rfind(" "), shared.rfind("\n"))
    if characters <= 0:
        return None
    return SharedInput(_size(text[:at] + shared[:characters]), place, None, characters)


def _unescaped(text: str) -> str:
    """The beginning of a JSON string, of which the last character may be missing its end."""
    for cut in range(min(len(text), _LONGEST_ESCAPE) + 1):
        try:
            found: str = json.loads(f'"{text[: len(text) - cut]}"')
        except ValueError:
            continue
        return found
    return ""


def _value(text: str, at: int) -> tuple[Any, int] | None:
    try:
        return json.JSONDecoder().raw_decode(text, at)
    except ValueError:
        return None


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
