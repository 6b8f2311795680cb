"""The texts that the cells of a workbook share."""

import re
from collections.abc import Iterable

from app.ingest.xlsx.markup import names, parse

TAGS = names("si", "t", "rPh")
CODED = re.compile("_x([0-9A-Fa-f]{4})_")  # a character that XML cannot hold, or an underscore before such


def read_strings(blocks: Iterable[bytes]) -> list[str]:
    """Each text without its formatting."""
    strings = _Strings()
    for _ in parse(blocks, strings.start, strings.end, strings.text):
        pass
    return strings.found


def decoded(text: str) -> str:
    """A text of a sheet as it is shown."""
    return CODED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


class _Strings:
    """Texts may be in several parts with formats of their own, and have phonetic hints, which are no text."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._pieces: list[str] = []
        self._is_text = self._is_hint = False

    def start(self, name: str, _: dict[str, str]) -> None:
        tag = TAGS.get(name)
        if tag == "t":
            self._is_text = not self._is_hint
        elif tag == "rPh":
            self._is_hint = True

    def text(self, text: str) -> None:
        if self._is_text:
            self._pieces.append(text)

    def end(self, name: str) -> None:
        tag = TAGS.get(name)
        if tag == "t":
            self._is_text = False
        elif tag == "rPh":
            self._is_hint = False
        elif tag == "si":
            self.found.append(decoded("".join(self._pieces)))
            self._pieces.clear()
