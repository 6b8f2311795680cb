"""A worker process's clients of providers, each made once, on the loop that uses it."""

import asyncio
import threading
from collections.abc import Callable

from app.core.worker.group_limits import probe_soon
from app.providers import factory
from app.providers.client import Client
from app.providers.inference.batching import Batching
from config import settings


class Clients:
    def __init__(self, loop: asyncio.AbstractEventLoop, batching: Callable[[], Batching]) -> None:
        self._loop, self._batching = loop, batching
        self._made: dict[str, Client] = {}
        self._making = threading.Lock()  # held by the first slice that needs a client

    def prepare(self, provider: str) -> None:
        """Make the provider's client, before anything is claimed for it. Not to be called on the loop."""
        with self._making:
            if provider not in self._made:
                make = factory.client_maker(provider, settings.current(), self._batching)
                probe_soon(provider)
                self._made[provider] = asyncio.run_coroutine_threadsafe(_make(make), self._loop).result()

    def of(self, provider: str) -> Client:
        """The client of a provider for which `prepare` was called."""
        return self._made[provider]

    async def close(self) -> None:
        for client in self._made.values():
            await client.close()


async def _make(make: Callable[[], Client]) -> Client:
    return make()
