"""What somebody looks for in prompts and answers: found in any case, and however JSON has written it."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

from app.errors import BadInput

MOST = 200  # characters
_FINALS = {"σ": "ς"}  # what no change of case leads to
_SHORT = {'"': b'\\"', "\\": b"\\\\", "/": b"\\/", "\b": b"\\b", "\f": b"\\f"}
_SPACE = r"\s+"


@dataclass(frozen=True)
class Phrase:
    """A text that is looked for.

    Letters match in any case, and with an accent whether it is a character of its own or not; any white space
    matches any other.
    """

    text: str

    @classmethod
    def of(cls, asked: str) -> "Phrase | None":
        """None for nothing but white space; raises `BadInput` for what is too long."""
        text = unicodedata.normalize("NFC", " ".join(asked.split()))
        if len(text) > MOST:
            why = f"a search has at most {MOST} characters, and this one {len(text):,}: look for less"
            raise BadInput.of_field("q", why, location="query")
        return cls(text) if text else None

    @cached_property
    def in_text(self) -> re.Pattern[str]:
        """Finds it in a text."""
        signs = (_SPACE if sign == " " else "|".join(map(re.escape, _forms(sign))) for sign in self.text)
        return re.compile("".join(f"(?:{sign})" for sign in signs))

    @cached_property
    def parts(self) -> frozenset[bytes]:
        """One of these is in all JSON that has the phrase, once its letters of ASCII are small.

        They are its words of ASCII with wildcards of LIKE between them, or all that its first character may
        be: in UTF-8, or as any of the codes that JSON allows.
        """
        words: list[str] = re.findall("[A-Za-z0-9]+", self.text)
        if words:
            return frozenset({"%".join(words).lower().encode()})
        return frozenset(way.lower() for form in _forms(self.text[0]) for way in _ways(form[0]))


def _forms(sign: str) -> list[str]:
    """What a character of the search stands for."""
    found = {sign}
    for _ in range(2):  # of a capital that has several small forms, each
        found |= {form for known in found for form in (known.lower(), known.upper(), known.casefold())}
        found |= {_FINALS[known] for known in found & _FINALS.keys()}
    return sorted(found | {unicodedata.normalize("NFD", form) for form in found})


def _ways(sign: str) -> set[bytes]:
    """How JSON may write a character. Nobody writes letters and digits of ASCII as codes."""
    raw = sign.encode("utf-8", "surrogatepass")
    if sign.isascii() and sign.isalnum():
        return {raw}
    units = sign.encode("utf-16-be", "surrogatepass").hex()
    code = "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
    return {raw, code.encode(), _SHORT.get(sign, raw)}
