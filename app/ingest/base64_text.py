"""Base64 in pieces, as people have it: with line breaks, with the prefix of a data URL, with `-` and `_`.

Apart from that it is decoded strictly: only its own alphabet, whole groups, padding at the end. The alphabet
of URLs is often written without padding, so there the last group may be short.
"""

import binascii
import re

LETTERS = re.compile(rb"[A-Za-z0-9+/_\-\s]*")
SPACES = b" \t\r\n\v\f"
STANDARD = bytes.maketrans(b"-_", b"+/")
URL = b"data:"
PREFIX = re.compile(rb"data:[^,]*;\s*base64\s*,", re.IGNORECASE)
LONGEST_PREFIX = 500  # characters


class Decoder:
    """Raises `ValueError`, with a description, as soon as an error shows."""

    def __init__(self) -> None:
        self._head: bytes | None = b""  # of the text, as long as a prefix may begin it
        self._rest = b""  # of the last piece: less than a group of four
        self._before = 0  # characters seen so far
        self._padding = 0  # characters of it: nothing may follow
        self._is_of_urls = False

    def feed(self, piece: bytes) -> bytes:
        """The bytes that `piece` completes."""
        if self._head is not None:
            piece = self._without_prefix(piece)
        letters = LETTERS.match(piece)
        assert letters is not None
        padding = piece[letters.end() :].translate(None, SPACES)
        text = piece[: letters.end()].translate(STANDARD, SPACES)
        if padding.strip(b"="):
            found = piece[letters.end() : letters.end() + 1].decode("ascii", "backslashreplace")
            raise ValueError(f"invalid {found!r} at character {self._before + letters.end() + 1:,}")
        if text and self._padding:
            raise ValueError(f"there is more after its padding, at character {self._before + 1:,}")
        self._is_of_urls = self._is_of_urls or b"-" in piece or b"_" in piece
        self._before += len(piece)
        self._pad(len(padding))
        return self._decode(self._rest + text + padding)

    def close(self) -> bytes:
        """The end of the text; returns the last bytes."""
        content = b""
        if self._head is not None:
            head, self._head = self._head, None
            content = self.feed(head)
        if not self._rest:
            return content
        if self._is_of_urls and not self._padding and len(self._rest) > 1:
            return content + binascii.a2b_base64(self._rest + b"=" * (4 - len(self._rest)))
        raise ValueError("it ends in the middle of a group of four characters")

    def _without_prefix(self, piece: bytes) -> bytes:
        """What there is to decode; nothing while it may still be the prefix of a data URL."""
        assert self._head is not None
        head = self._head = self._head + piece
        start = head.lstrip()
        if start[: len(URL)].lower() != URL[: len(start)]:
            self._head = None
            return head
        if b"," not in start and len(start) <= LONGEST_PREFIX:
            return b""
        self._head = None
        prefix = PREFIX.match(start)
        if prefix is None:
            raise ValueError('it begins with "data:", but not with the prefix of a data URL in base64')
        self._before = len(head) - len(start) + prefix.end()
        return start[prefix.end() :]

    def _pad(self, count: int) -> None:
        self._padding += count
        if self._padding > 2:
            raise ValueError(f"it has {self._padding} characters of padding, which are too many")

    def _decode(self, text: bytes) -> bytes:
        whole = len(text) - len(text) % 4
        self._rest = text[whole:]
        return binascii.a2b_base64(text[:whole])
