"""Base64 that comes in pieces, decoded strictly: its own letters alone, whole groups, padding at the end."""

import binascii
import re

LETTERS = re.compile(rb"[A-Za-z0-9+/]*")


class Decoder:
    """Raises `ValueError`, with what is wrong in words, as soon as that shows."""

    def __init__(self) -> None:
        self._rest = b""  # of the last piece: less than a group of four
        self._before = 0  # characters that were decoded
        self._ended = False  # padding was seen: nothing comes behind it

    def feed(self, piece: bytes) -> bytes:
        """The bytes that `piece` completes."""
        text = self._rest + piece
        whole = len(text) - len(text) % 4
        self._rest = text[whole:]
        return self._decode(text[:whole])

    def close(self) -> None:
        """The text has ended."""
        if self._rest:
            self._decode(self._rest)
            raise ValueError("it ends in the middle of a group of four characters")

    def _decode(self, text: bytes) -> bytes:
        if text and self._ended:
            raise ValueError(f"more comes behind its padding, at character {self._before + 1:,}")
        padding = len(text) - len(text.rstrip(b"="))
        letters = LETTERS.match(text, 0, len(text) - padding)
        assert letters is not None
        if letters.end() < len(text) - padding:
            found = text[letters.end() : letters.end() + 1].decode("ascii", "backslashreplace")
            raise ValueError(f"{found!r} at character {self._before + letters.end() + 1:,} is no base64")
        if padding > 2:
            raise ValueError(f"{padding} characters of padding are too many")
        self._before += len(text)
        self._ended = padding > 0
        return binascii.a2b_base64(text) if len(text) % 4 == 0 else b""
