"""Where a request ends. What it means is read by gunicorn's parser; here is only counted how much it is.

A body's framing is the one that gunicorn has found in the head. Whatever gunicorn would refuse in a chunked
body is refused here, with gunicorn's errors, so that no request fails in the middle of the application.
"""

from gunicorn.http.body import CHUNK_EXT_RE, ChunkedReader
from gunicorn.http.errors import (
    ChunkMissingTerminator,
    InvalidChunkExtension,
    InvalidChunkSize,
    InvalidHeader,
    LimitRequestHeaders,
)
from gunicorn.http.message import Request

from app.server.bounds import CHUNK_LINE, CHUNK_OVERHEAD, CHUNK_SHARE, HEAD

_HEX = frozenset(b"0123456789abcdefABCDEF")


class Head:
    """The bytes of a head, until it is whole."""

    def __init__(self) -> None:
        self.received = bytearray()
        self._searched = 0

    def take(self, data: bytes) -> int | None:
        """Add `data`; where the head ends, once that is known. Raises gunicorn's errors."""
        self.received += data
        start = 2 if self.received[:2] == b"\r\n" else 0  # gunicorn skips one empty line, too
        end = self.received.find(b"\r\n\r\n", max(start, self._searched - 3))
        if end < 0 and self.received.find(b"\n", self._searched) >= 0:
            self._refuse_bare_feeds()
        self._searched = len(self.received)
        if end >= 0 and end + 4 <= HEAD:
            return end + 4
        if len(self.received) > HEAD:
            raise LimitRequestHeaders(f"the request line and headers have over {HEAD:,} bytes")
        return None

    def _refuse_bare_feeds(self) -> None:
        """A head with other line ends never ends; refuse it before the time is over."""
        at = self.received.find(b"\n", self._searched)
        while at >= 0:
            if at == 0 or self.received[at - 1] != ord("\r"):
                raise InvalidHeader("bare LF as line terminator")
            at = self.received.find(b"\n", at + 1)


class Length:
    """A body of known length."""

    def __init__(self, length: int) -> None:
        self.size = length  # of the content, as far as known
        self._left = length

    @property
    def has_ended(self) -> bool:
        return self._left == 0

    def take(self, data: bytes) -> int:
        """How many bytes of `data` are the body's."""
        taken = min(self._left, len(data))
        self._left -= taken
        return taken


class Chunks:
    """A chunked body. `size` counts the content that was announced so far."""

    def __init__(self, request: Request) -> None:
        self.size = 0
        self.has_ended = False
        self._request = request
        self._received = 0
        self._left = 0  # of the chunk's content
        self._line = bytearray()
        self._meaning = self._start_chunk
        self._trailers: list[bytes] = []
        self._trailer_size = 0

    def take(self, data: bytes) -> int:
        """How many bytes of `data` are the body's. Raises gunicorn's errors."""
        at = 0
        while at < len(data) and not self.has_ended:
            if self._left:
                skipped = min(self._left, len(data) - at)
                self._left -= skipped
                at += skipped
            else:
                at = self._read_line(data, at)
        self._received += at
        if self._received - self.size > CHUNK_OVERHEAD + self.size // CHUNK_SHARE:
            raise InvalidChunkSize(b"the chunks are too small: send larger ones")
        return at

    def _read_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1
        self._line += data[at : end or len(data)]
        if len(self._line) > CHUNK_LINE:
            raise InvalidChunkSize(b"line over %d bytes" % CHUNK_LINE)
        if not end:
            return len(data)
        if self._line[-2:] != b"\r\n":
            raise InvalidChunkSize(bytes(self._line[:20]))
        line = bytes(self._line[:-2])
        self._line.clear()
        self._meaning(line)
        return end

    def _start_chunk(self, line: bytes) -> None:
        digits, semicolon, extension = line.partition(b";")
        if semicolon:
            digits = digits.rstrip(b" \t")
        if not digits or not _HEX.issuperset(digits):
            raise InvalidChunkSize(digits[:20])
        if semicolon and not CHUNK_EXT_RE.fullmatch(b";" + extension):
            raise InvalidChunkExtension("invalid chunk extension")
        self._left = int(digits, 16)
        self.size += self._left
        self._meaning = self._end_chunk if self._left else self._add_trailer

    def _end_chunk(self, line: bytes) -> None:
        if line:
            raise ChunkMissingTerminator(line[:2])
        self._meaning = self._start_chunk

    def _add_trailer(self, line: bytes) -> None:
        if line:
            self._trailers.append(line)
            self._trailer_size += len(line)
            if self._trailer_size > HEAD:
                raise LimitRequestHeaders("limit request trailer section size")
            return
        self.has_ended = True
        if self._trailers:
            self._request.parse_headers(b"\r\n".join(self._trailers), from_trailer=True)


def frame(request: Request) -> Length | Chunks:
    """The framing that gunicorn has found in the request's head."""
    reader = request.body.reader
    return Chunks(request) if isinstance(reader, ChunkedReader) else Length(reader.length)
