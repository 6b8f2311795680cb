"""Base64 in pieces, decoded strictly: only its own alphabet, whole groups, padding at the end."""

import binascii
import re

LETTERS = re.compile(rb"[A-Za-z0-9+/]*")


class Decoder:
    """Raises `ValueError`, with a description, as soon as an error shows."""

    def __init__(self) -> None:
        self._rest = b""  # of the last piece: less than a group of four
        self._before = 0  # characters decoded so far
        self._ended = False  # padding was seen: nothing may follow

    def feed(self, piece: bytes) -> bytes:
        """The bytes that `piece` completes."""
        text = self._rest + piece
        whole = len(text) - len(text) % 4
        self._rest = text[whole:]
        return self._decode(text[:whole])

    def close(self) -> None:
        """The end of the text."""
        if self._rest:
            self._decode(self._rest)
            raise ValueError("it ends in the middle of a group of four characters")

    def _decode(self, text: bytes) -> bytes:
        if text and self._ended:
            raise ValueError(f"there is more after its padding, at character {self._before + 1:,}")
        padding = len(text) - len(text.rstrip(b"="))
        letters = LETTERS.match(text, 0, len(text) - padding)
        assert letters is not None
        if letters.end() < len(text) - padding:
            found = text[letters.end() : letters.end() + 1].decode("ascii", "backslashreplace")
            raise ValueError(f"invalid {found!r} at character {self._before + letters.end() + 1:,}")
        if padding > 2:
            raise ValueError(f"it has {padding} characters of padding, which are too many")
        self._before += len(text)
        self._ended = padding > 0
        return binascii.a2b_base64(text) if len(text) % 4 == 0 else b""
