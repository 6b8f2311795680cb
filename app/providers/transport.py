"""Requests and failures on aiohttp's connections, for the providers that use them."""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from app.errors import BadAnswer, ConnectionCut, ProviderError, TimedOut, Unreachable
from app.providers import first_byte, refusals
from app.providers.answers import parsed
from app.providers.client import NO_HEADERS

CONNECT_SECONDS = 10
CONNECTIONS = 5_000  # more than a process holds in flight: 64 slices of 64 records
LONGEST_ANSWER = 2**27  # bytes, decoded; the longest lists of embeddings have nearly as many
PAGE_BEGINS = 200  # bytes of an answer in which a web page shows what it is
ONE_PIECE, PIECE = 2**20, 2**16  # bytes of a request that are written at once

# aiohttp raises these only before there is a connection: it was refused, the host does not exist, TLS failed,
# nothing answered, or a proxy refused it.
NOTHING_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)


Headers = Mapping[str, str]
Refused = Callable[[int, object, Headers], ProviderError]  # status, body, headers


class Connections:
    """Calls of one provider with the headers of its SDK. Created, used and closed on one loop."""

    def __init__(
        self, url: str, headers: Headers, tls: ssl.SSLContext, refused: Refused = refusals.read
    ) -> None:
        """`url` is any of the provider's: it decides which proxy is used. `refused` reads its refusals."""
        self._headers, self._refused = dict(headers), refused
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=tls),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            proxy=proxy_of(url),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def call(
        self, method: str, url: str, body: bytes, said: Headers = NO_HEADERS
    ) -> tuple[bytes, Headers]:
        """One call: its answer and the headers; raises for a refusal and for a web page.

        `said`, by lower-case names, takes the place of the SDK's own headers; no key is among it. A redirect
        is not followed, because one `ask` makes one call.
        """
        headers = self._headers | dict(said) | {"content-length": str(len(body))}
        try:
            async with self._session.request(
                method, url, data=content(body), headers=headers, allow_redirects=False
            ) as response:
                first_byte.note()
                answer = await whole_body(response)
        except (aiohttp.ClientError, OSError) as error:
            raise failure(error, "the provider") from error
        if not 200 <= response.status < 300:
            raise self._refused(response.status, refusal(answer), response.headers)
        if refusals.is_web_page(answer[:PAGE_BEGINS], response.headers):
            raise refusals.web_page(answer)
        return answer, response.headers

    def post(
        self, url: str, body: bytes, said: Headers
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """A call whose answer is read while it comes; what `said` has takes the place of our own headers."""
        headers = self._headers | dict(said) | {"content-length": str(len(body))}
        return self._session.post(url, data=content(body), headers=headers, allow_redirects=False)

    async def try_(self, method: str, url: str, body: bytes, deadline: float) -> tuple[bytes, Headers]:
        """The same within `deadline` seconds."""
        try:
            async with asyncio.timeout(deadline):
                return await self.call(method, url, body)
        except TimeoutError:
            raise TimedOut(f"no answer within the deadline of {deadline:g} s") from None

    async def close(self) -> None:
        await self._session.close()


def pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """An answer as it comes, decoded; raises `BadAnswer` for one that is longer than any."""
    return bounded(response.content.iter_any(), response.headers)


async def bounded(answer: AsyncIterator[bytes], headers: Headers) -> AsyncIterator[bytes]:
    """The pieces of an answer; raises `BadAnswer` for one that is longer than any.

    Everything that a provider sends is held in memory: it must not be as much as the provider likes.
    """
    size = 0
    async for piece in answer:
        size += len(piece)
        if size > LONGEST_ANSWER:
            raise BadAnswer(
                f"the answer has over {LONGEST_ANSWER:,} bytes",
                request_id=refusals.request_id_of(headers),
            )
        yield piece


async def whole_body(response: aiohttp.ClientResponse) -> bytes:
    """The whole of an answer; raises as `pieces` does."""
    return b"".join([piece async for piece in pieces(response)])


@asynccontextmanager
async def whole_answer_within(deadline: float, address: str, key: str) -> AsyncIterator[None]:
    """End a call after `deadline` seconds with `TimedOut`.

    Its errors name the `address` that was asked, and not the `key`: a server may repeat it.
    """
    try:
        async with asyncio.timeout(deadline):
            yield
    except TimeoutError:
        late = TimedOut(f"no whole answer within the deadline of {deadline:g} s")
        late.address = address
        raise late from None
    except ProviderError as error:
        error.address = address
        refusals.hide(error, key)
        raise


def count_listed(answer: bytes) -> int:
    """How many models a provider's list of them has; raises `BadAnswer` for what is no such list."""
    try:
        return len(parsed(answer)["data"])
    except (KeyError, TypeError, ValueError, RecursionError):
        raise BadAnswer(f"no list of models: {answer[:200].decode(errors='replace')}") from None


def joined(*layers: Mapping[str, Any]) -> dict[str, str]:
    """Headers merged by case-insensitive name: a later layer overrides or omits those of earlier ones."""
    merged = {name.lower(): value for layer in layers for name, value in layer.items()}
    return {name: value for name, value in merged.items() if isinstance(value, str)}


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
