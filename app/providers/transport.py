"""What goes over aiohttp's connections, for the providers that are asked through it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from app.errors import BadAnswer, ConnectionCut, ProviderError, Unreachable
from app.providers.answers import parsed

CONNECT_SECONDS = 10
ONE_PIECE, PIECE = 2**20, 2**16  # bytes of a request that are written at once

# aiohttp raises these only while there is no connection yet: it was refused, there is no such host, no TLS,
# no answer at all, or a proxy between us does not let us through.
NOTHING_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)


_ENCODER = json.JSONEncoder(separators=(",", ":"))  # `json.dumps` makes another for every call


def as_bytes(content: dict[str, Any]) -> bytes:
    """Compact JSON. ASCII, because half a surrogate pair has no other bytes."""
    return _ENCODER.encode(content).encode()


def content(body: bytes) -> bytes | AsyncIterator[bytes]:
    """A body in one piece, or in several where aiohttp warns of holding up the loop."""
    return body if len(body) <= ONE_PIECE else _pieces(body)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]


def refusal(body: bytes) -> object:
    """A refusal's JSON, or the beginning of its text where it is none."""
    try:
        return parsed(body)
    except (ValueError, RecursionError):
        return body[:2_000].decode(errors="replace")


def failure(error: aiohttp.ClientError | OSError, whom: str) -> ProviderError:
    """The error for a call of `whom` that brought no answer."""
    if isinstance(error, NOTHING_SENT):
        return Unreachable(f"no connection to {whom}: {error}")
    if isinstance(error, aiohttp.ClientResponseError) or _is_garbled(error):
        return BadAnswer(f"the answer of {whom} is no HTTP that can be read: {error}")
    return ConnectionCut(f"the connection to {whom} broke: {error!r}")


def _is_garbled(error: Exception) -> bool:
    """Whether the whole body came, in an encoding that it is not in."""
    return isinstance(error, aiohttp.ClientPayloadError) and isinstance(error.__cause__, ContentEncodingError)
