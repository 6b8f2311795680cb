"""A document's type, from its own bytes: its name and its sender may be wrong."""

import codecs

PDF, TEXT, UNKNOWN = "application/pdf", "text/plain", "application/octet-stream"
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")

_BEGINNINGS = {
    b"%PDF-": PDF,
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
HEAD = 1_024  # bytes; a PDF may begin anywhere in them


class Sniffer:
    """Is fed every byte of a document once."""

    def __init__(self) -> None:
        self._head = b""
        self._decoder: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()

    def feed(self, piece: bytes) -> None:
        self._head += piece[: HEAD - len(self._head)]
        self._check_text(piece, final=False)

    def media_type(self) -> str:
        """The type, after all bytes."""
        for beginning, media_type in _BEGINNINGS.items():
            if self._head.startswith(beginning):
                return media_type
        if self._head.startswith(b"RIFF") and self._head[8:12] == b"WEBP":
            return "image/webp"
        if b"%PDF-" in self._head:
            return PDF
        self._check_text(b"", final=True)
        return UNKNOWN if self._decoder is None else TEXT

    def _check_text(self, piece: bytes, *, final: bool) -> None:
        """Text is UTF-8 without NUL."""
        if self._decoder is None:
            return
        try:
            self._decoder.decode(piece, final)
        except UnicodeDecodeError:
            self._decoder = None
        if b"\0" in piece:
            self._decoder = None
