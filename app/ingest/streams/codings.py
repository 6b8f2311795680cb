"""Compressed bodies, decoded piece by piece: however much they hold, a piece of it is in memory."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import brotli
from backports import zstd

from app.errors import BadRequest, TooLarge

PIECE = 256_000  # bytes that are decoded at once
MOST_CODINGS = 3  # one inside the other
WINDOW_LOG = 27  # 128 MiB, the largest window of Zstandard's own tools unless they are told otherwise


class Decoder(Protocol):
    """Decodes one coding."""

    def decode(self, piece: bytes) -> Iterator[bytes]:
        """What `piece` adds, in pieces of bounded size; raises the coding's own error."""

    @property
    def has_ended(self) -> bool:
        """Whether what was decoded is whole."""


def decoded(pieces: Iterable[bytes], header: str, most: int) -> Iterator[bytes]:
    """The content of a body whose Content-Encoding is `header`.

    Raises `BadRequest` for a coding that is not known and for content that is not in it, `TooLarge` for more
    than `most` bytes.
    """
    codings = [coding.strip().lower() for coding in header.split(",")]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    if unknown := [coding for coding in codings if coding not in DECODERS]:
        raise BadRequest(
            f"Content-Encoding: {unknown[0][:40]!r} is not known: use one of {', '.join(DECODERS)}, or none",
            {"error_code": "request_body_encoding_unsupported"},
        )
    if len(codings) > MOST_CODINGS:
        raise BadRequest(
            f"Content-Encoding: found {len(codings)} codings, one inside the other; the most is"
            f" {MOST_CODINGS}",
            {"error_code": "request_body_encoding_unsupported"},
        )
    for coding in reversed(codings):
        pieces = _bounded(_through(DECODERS[coding](), pieces, coding), most)
    return iter(pieces)


def _through(decoder: Decoder, pieces: Iterable[bytes], coding: str) -> Iterator[bytes]:
    try:
        for piece in pieces:
            yield from decoder.decode(piece)
    except (zlib.error, brotli.error, zstd.ZstdError, EOFError) as error:
        raise _invalid(coding, str(error)) from None
    if not decoder.has_ended:
        raise _invalid(coding, "it ends in the middle")


def _invalid(coding: str, why: str) -> BadRequest:
    return BadRequest(
        f"the body is not valid {coding}, which its Content-Encoding says: {why}",
        {"error_code": "request_body_encoding_invalid"},
    )


def _bounded(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > most:
            raise TooLarge(
                f"the body has over {most:,} bytes once it is decoded: send less at once",
                {"error_code": "request_body_too_large_after_decoding"},
            )
        yield piece


class Zlib:
    """`gzip`, of any number of members, and `deflate`, with zlib's header or, as some send it, without."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._reader = zlib.decompressobj(window)
        self._has_begun = False

    def decode(self, piece: bytes) -> Iterator[bytes]:
        if not self._has_begun and piece:
            self._has_begun = True
            if self._window == zlib.MAX_WBITS and piece[0] & 0x0F != 8:  # not the first byte of zlib's header
                self._reader = zlib.decompressobj(-zlib.MAX_WBITS)
        while piece:
            if self._reader.eof:
                self._reader = zlib.decompressobj(self._window)
            yield self._reader.decompress(piece, PIECE)
            piece = self._reader.unconsumed_tail or self._reader.unused_data
        while not self._reader.eof and (rest := self._reader.decompress(b"", PIECE)):
            yield rest

    @property
    def has_ended(self) -> bool:
        return self._reader.eof


class Brotli:
    def __init__(self) -> None:
        self._reader = brotli.Decompressor()

    def decode(self, piece: bytes) -> Iterator[bytes]:
        # `can_accept_more_data` tells of input that waits, and nothing of output that does.
        while found := self._reader.process(piece, output_buffer_limit=PIECE):
            yield found
            piece = b""

    @property
    def has_ended(self) -> bool:
        return bool(self._reader.is_finished())


class Zstandard:
    """`zstd`, of any number of frames."""

    def __init__(self) -> None:
        self._reader = self._new()

    def _new(self) -> zstd.ZstdDecompressor:
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG})

    def decode(self, piece: bytes) -> Iterator[bytes]:
        while piece:
            if self._reader.eof:
                self._reader = self._new()
            yield self._reader.decompress(piece, PIECE)
            while not self._reader.eof and not self._reader.needs_input:
                yield self._reader.decompress(b"", PIECE)
            piece = self._reader.unused_data if self._reader.eof else b""

    @property
    def has_ended(self) -> bool:
        return self._reader.eof


DECODERS: Mapping[str, Callable[[], Decoder]] = {
    "gzip": lambda: Zlib(16 + zlib.MAX_WBITS),
    "x-gzip": lambda: Zlib(16 + zlib.MAX_WBITS),
    "deflate": lambda: Zlib(zlib.MAX_WBITS),
    "br": Brotli,
    "zstd": Zstandard,
}
