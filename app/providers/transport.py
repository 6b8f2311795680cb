"""Requests and failures on aiohttp's connections, for the providers that use it."""

import json
import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from app.errors import BadAnswer, ConnectionCut, ProviderError, Unreachable
from app.providers.answers import parsed

CONNECT_SECONDS = 10
PAGE_BEGINS = 200  # bytes of an answer in which a web page shows what it is
ONE_PIECE, PIECE = 2**20, 2**16  # bytes of a request that are written at once

# aiohttp raises these only before there is a connection: it was refused, the host does not exist, TLS failed,
# nothing answered, or a proxy refused it.
NOTHING_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)


def proxy_of(url: str) -> str | None:
    """The proxy that the environment sets for an address, read once: aiohttp would read it for every call.

    One without a scheme is spoken to by HTTP, as curl does.
    """
    parts, proxies = urlsplit(url), getproxies()
    found = None if proxy_bypass(parts.hostname or "") else proxies.get(parts.scheme) or proxies.get("all")
    return found if not found or "://" in found else f"http://{found}"


_ENCODER = json.JSONEncoder(separators=(",", ":"))  # `json.dumps` makes an encoder for every call


def as_bytes(content: dict[str, Any]) -> bytes:
    """Compact JSON, in ASCII because a lone surrogate has no UTF-8."""
    return _ENCODER.encode(content).encode()


def content(body: bytes) -> bytes | AsyncIterator[bytes]:
    """A body in one piece, or in several where aiohttp would warn of blocking the loop."""
    return body if len(body) <= ONE_PIECE else _pieces(body)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]


def refusal(body: bytes) -> object:
    """A refusal's JSON, or the beginning of its text where it is not JSON."""
    try:
        return parsed(body)
    except (ValueError, RecursionError):
        return body[:2_000].decode(errors="replace")


def failure(error: aiohttp.ClientError | OSError, server: str) -> ProviderError:
    """The error for a call of `server` without an answer."""
    if isinstance(error, NOTHING_SENT):
        return Unreachable(f"no connection to {server}: {_why(error)}")
    if isinstance(error, aiohttp.ClientResponseError) or _is_garbled(error):
        return BadAnswer(f"the answer of {server} is not valid HTTP: {error}")
    return ConnectionCut(f"the connection to {server} broke: {error!r}")


def _why(error: aiohttp.ClientError | OSError) -> str:
    """In the words of the operating system, where it is its error: aiohttp adds its own settings."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionError) and cause.errno:
        return os.strerror(cause.errno)
    return str(cause)


def _is_garbled(error: Exception) -> bool:
    """Whether the whole body arrived, but not in the encoding that its header states."""
    return isinstance(error, aiohttp.ClientPayloadError) and isinstance(error.__cause__, ContentEncodingError)
