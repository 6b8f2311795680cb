"""JSON with one long list, read item by item: only the item at hand is in memory."""

import codecs
import re
from collections.abc import Iterable, Iterator
from json import JSONDecodeError
from typing import Any

from app.errors import BadInput, TooLarge
from app.ingest.draft import MAX_RECORD_BYTES
from app.ingest.values import first_value

SPACES = re.compile(r"[ \t\r\n]*")
MOST_OTHERS, OTHERS_SIZE = 100, 1_000_000  # members besides the list, and characters of them all
UNSURE = 16  # characters before the end of what has come within which an error may be only that
MOST_PARTS = 500_000  # lists and objects in a value: while they are built, nothing else in the process runs
LARGE = 1_000_000  # characters, above which the parts of a value are counted before it is built


def items(pieces: Iterable[bytes], name: str, others: dict[str, Any]) -> Iterator[Any]:
    """The items of the list `name` of the object that `pieces` are the JSON of.

    Its other members, which must be few and small, go into `others`. Raises `BadInput` for what is not such
    an object when it comes to that place, and `TooLarge` for a value that is larger than any record may be.
    """
    text = _Text(pieces)
    found, size = False, 0
    text.take("{", f'the body is not a JSON object: give {{"{name}": […]}}')
    while (mark := text.peek()) != "}":
        if mark != '"':
            raise text.wrong("a member's name is missing")
        member = text.value("the body")
        text.take(":", f"{member!r:.60} has no value")
        start = text.place
        if member != name:
            others[member] = text.value(member)
            size += text.place - start
            if len(others) > MOST_OTHERS or size > OTHERS_SIZE:
                raise BadInput(f"the body has too much besides `{name}`: leave it out")
        elif found:
            raise BadInput(f"{name}: it is there twice: give one list")
        else:
            found = True
            yield from _items(text, name)
        _pass_comma(text, '"', "}")
    text.take("}", "")
    if text.peek():
        raise text.wrong("something follows the object")
    if not found:
        raise BadInput(f"{name}: give a list; found nothing")


def values(pieces: Iterable[bytes], what: str) -> Iterator[Any]:
    """The items of the list that `pieces` are the JSON of, or the values that follow one another there.

    `what` is the whole in errors, such as `the file`. Raises as `items` does.
    """
    text = _Text(pieces, what)
    if text.peek() == "[":
        yield from _items(text, "item")
        if text.peek():
            raise text.wrong("something follows the list")
        return
    number = 0
    while text.peek():
        yield text.value(f"item.{number}")
        number += 1


def _items(text: "_Text", name: str) -> Iterator[Any]:
    text.take("[", f"{name}: give a list; found something else")
    number = 0
    while text.peek() != "]":
        yield text.value(f"{name}.{number}")
        number += 1
        _pass_comma(text, "", "]")
    text.take("]", "")


def _pass_comma(text: "_Text", begins: str, end: str) -> None:
    """Pass over what parts two members or items: `begins` must follow, if it is given, and never `end`."""
    mark = text.peek()
    if mark == ",":
        text.take(",", "")
        mark = text.peek()
        if mark == end or (begins and mark != begins):
            raise text.wrong("something else follows a comma than one more")
    elif mark != end:
        raise text.wrong(f"a comma or {end} is missing")


class _Text:
    """What has come of a text and was not used yet."""

    def __init__(self, pieces: Iterable[bytes], what: str = "the body") -> None:
        self._pieces, self._what = iter(pieces), what
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._at = "", 0
        self._before = 0  # characters that were used and are gone

    @property
    def place(self) -> int:
        """Characters that were used."""
        return self._before + self._at

    def peek(self) -> str:
        """The next character that is not a space; nothing at the end."""
        start = self.place
        while True:
            spaces = SPACES.match(self._text, self._at)
            assert spaces is not None
            self._at = spaces.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if self.place - start > LARGE:
                raise self.wrong(f"over {LARGE:,} spaces are in one place")
            if not self._more():
                return ""

    def take(self, character: str, otherwise: str) -> None:
        """Pass over `character`; raises `BadInput` with `otherwise` when it is not the next one."""
        if self.peek() != character:
            raise BadInput(otherwise) if self._at < len(self._text) else self._ended()
        self._at += 1

    def value(self, where: str) -> Any:
        """The next value. `where` is its place, for errors."""
        self.peek()
        while True:
            self._check_parts(where)
            try:
                value, end = first_value(self._text, self._at)
            except JSONDecodeError as error:
                wrong = self.wrong(f"{error.msg}, in {where:.80}", error.pos)
                if self._is_broken(error) or not self._more():
                    raise wrong from None
            except ValueError as error:
                raise self.wrong(f"{error}, in {where:.80}") from None
            else:
                length = end - self._at
                may_go_on = end == len(self._text) and isinstance(value, int | float)  # as a number may
                if not (may_go_on and self._more()):
                    self._at += length
                    return value
            if len(self._text) - self._at > MAX_RECORD_BYTES:
                raise TooLarge(f"{where:.80}: it has over {MAX_RECORD_BYTES:,} bytes, the limit of a request")

    def wrong(self, why: str, at: int | None = None) -> BadInput:
        place = self._before + (self._at if at is None else at) + 1
        return BadInput(f"{self._what} is not JSON: {why} (character {place:,})")

    def _ended(self) -> BadInput:
        if self.place:
            return self.wrong("it ends in the middle")
        return BadInput(f"{self._what} is empty: send JSON")

    def _is_broken(self, error: JSONDecodeError) -> bool:
        """Whether it is an error whatever comes; at the end of what has come it may be only that."""
        return error.pos < len(self._text) - UNSURE and not error.msg.startswith("Unterminated")

    def _check_parts(self, where: str) -> None:
        if len(self._text) - self._at > LARGE:
            parts = self._text.count("[", self._at) + self._text.count("{", self._at)
            if parts > MOST_PARTS:
                raise BadInput(f"{where:.80}: it has over {MOST_PARTS:,} lists and objects")

    def _more(self) -> bool:
        """Read several times what is left, so that a long value is tried a few times; False at the end."""
        self._before += self._at
        self._text, self._at = self._text[self._at :], 0
        left = len(self._text)
        wanted, parts = max(1, min(3 * left, MAX_RECORD_BYTES + 1 - left)), [self._text]
        try:
            while wanted > 0 and (piece := next(self._pieces, None)) is not None:
                parts.append(self._decoder.decode(piece))
                wanted -= len(parts[-1])
            if wanted > 0:
                self._decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise BadInput(f"{self._what} is not UTF-8: send it as UTF-8") from None
        self._text = "".join(parts)
        return len(self._text) > left
