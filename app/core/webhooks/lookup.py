"""Looking names up, with bounds: the system's own look-up cannot be stopped, and may take half a minute."""

import asyncio
import socket
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from app.errors import NameNotFound

PATIENCE = 5.0  # seconds
THREADS = 64
OF_A_TENANT = 8  # threads that one tenant's look-ups may hold: names that do not answer are its own matter
LOOK_AGAIN = 0.05  # seconds

_held = Counter[int]()
_counting = threading.Lock()


class Resolver(AbstractResolver):
    """The system's look-up (which knows /etc/hosts and search domains) for one tenant's names.

    What it finds is judged where it is connected to.
    """

    def __init__(self, tenant_id: int) -> None:
        self._tenant_id = tenant_id

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises `NameNotFound`, also when the answer takes over five seconds."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not _take(self._tenant_id):  # noqa: ASYNC110 - shared by the loops of several threads
                    await asyncio.sleep(LOOK_AGAIN)
                found = await asyncio.wrap_future(_start(self._tenant_id, host, port, family))
        except TimeoutError:
            raise NameNotFound(f"the name {host!r} was not looked up within {PATIENCE:.0f} seconds") from None
        except (OSError, UnicodeError) as error:
            raise NameNotFound(f"the name {host!r} was not found: {error}") from None
        return [_result(host, *each) for each in found]

    async def close(self) -> None:
        """Its threads are everybody's."""


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="webhook-lookup")


def _take(tenant_id: int) -> bool:
    with _counting:
        is_free = _held[tenant_id] < OF_A_TENANT
        _held[tenant_id] += is_free
    return is_free


def _start(tenant_id: int, host: str, port: int, family: int) -> Future[list[Any]]:
    """A thread's place is free again when its look-up ends, not when nobody waits for it any more."""
    looked_up = _threads().submit(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
    looked_up.add_done_callback(lambda _: _give_back(tenant_id))
    return looked_up


def _give_back(tenant_id: int) -> None:
    with _counting:
        _held[tenant_id] -= 1
        if not _held[tenant_id]:
            del _held[tenant_id]


def _result(
    host: str, family: int, _kind: int, proto: int, _name: str, address: tuple[Any, ...]
) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address[0],
        port=address[1],
        family=family,
        proto=proto,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
