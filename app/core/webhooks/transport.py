"""One POST to an address that a user has chosen.

Every address is judged at the moment of the connection, by the socket's factory: a name may lead elsewhere
than when it was last looked up, and an address that stands in the URL itself is never looked up. Redirects
are not followed, and neither proxies nor passwords are taken from the environment.
"""

import asyncio
import datetime as dt
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from app.core.webhooks import networks, schedule
from app.core.webhooks.lookup import Resolver
from app.errors import AddressRefused, NameNotFound

PATIENCE = 20.0  # seconds, for all of it
FOR_THE_ANSWER = 2.0  # seconds for the content of an answer, whose status alone decides
MOST_READ = 64_000  # bytes of an answer
KEPT = 1_000  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one attempt: a status, or why there is none."""

    status: int | None = None
    text: str | None = None  # the beginning of the answer
    retry_after: float | None = None  # seconds
    error: str | None = None

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


async def post(url: str, body: bytes, headers: Mapping[str, str], tenant_id: int) -> Answer:
    """Send it once. Raises nothing that the receiver may bring about."""
    connector = aiohttp.TCPConnector(
        resolver=Resolver(tenant_id),
        use_dns_cache=False,
        socket_factory=partial(_socket, urlsplit(url).scheme.lower()),
        force_close=True,
    )
    patience = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector,
                timeout=patience,
                trust_env=False,
                auto_decompress=False,  # a few bytes may unpack to very many
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            return await _read(response)
    except TimeoutError:
        return Answer(error=f"no answer within {PATIENCE:.0f} seconds")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Answer(error=_sentence(error))


def _socket(scheme: str, address: Any) -> socket.socket:
    """The socket for this address (as `getaddrinfo` writes it); raises `AddressRefused`."""
    family, kind, proto, _, place = address
    why = networks.refusal(place[0], scheme)
    if why is not None:
        raise AddressRefused(why)
    return socket.socket(family, kind, proto)


async def _read(response: aiohttp.ClientResponse) -> Answer:
    start = bytearray()
    read = 0
    try:
        async with asyncio.timeout(FOR_THE_ANSWER):
            async for piece in response.content.iter_chunked(16_000):
                read += len(piece)
                start += piece[: KEPT - len(start)]
                if read >= MOST_READ:
                    break
    except (TimeoutError, aiohttp.ClientError):
        pass  # what has come is shown
    now = dt.datetime.now(dt.UTC)
    return Answer(
        response.status,
        start.decode(errors="replace").replace("\0", "\ufffd"),
        schedule.retry_after(response.headers.get("Retry-After"), now),
    )


def _sentence(error: BaseException) -> str:
    """Why nothing was answered: our own refusals in their words, beneath whatever wraps them."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused | NameNotFound):
            return str(cause)
        cause = getattr(cause, "os_error", None) or cause.__cause__
    return f"{type(error).__name__}: {error}"[:KEPT]
