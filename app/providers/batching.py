"""Dynamic batching: items that are asked within some milliseconds of each other share one call."""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import ProviderError
from app.providers.client import Reply

# Makes one call for some rows and returns the result of each, in order. If it raises, every row has failed.
Send = Callable[[Sequence[Any]], Awaitable[Sequence[Reply | ProviderError]]]


@dataclass(frozen=True, slots=True)
class Batching:
    """The settings in force."""

    max_batch_size: int  # items of one call
    max_wait_time_ms: int  # that an item waits for others
    enable_dynamic_batching: bool  # False: each item has a call of its own


class Call:
    """One call and the items that wait for it; no item joins it once it has left."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._rows: dict[asyncio.Future[Reply], Any] = {}  # of the waiting items
        self._task: asyncio.Task[None] | None = None
        self._reported = False  # an item has reported the failure

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: Any) -> "asyncio.Future[Reply]":
        item: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._rows[item] = row
        return item

    def leave(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def reply_to(self, item: "asyncio.Future[Reply]") -> Reply:
        """The item's reply. When the last waiting item is cancelled, so is the call."""
        try:
            return await item
        finally:
            del self._rows[item]
            if not self._rows and self._task is not None and not self._task.done():
                self._task.cancel()
                await asyncio.wait([self._task])

    def failure(self, error: ProviderError) -> ProviderError:
        """The error for one of the items: the first reports it, the others repeat it."""
        error.repeated, self._reported = self._reported, True
        return error

    async def _run(self) -> None:
        rows = dict(self._rows)
        parts: Sequence[Reply | Exception]
        try:
            parts = await self._send(list(rows.values()))
        except ProviderError as error:
            parts = [self.failure(copy.copy(error)) for _ in rows]
        except Exception as fault:
            parts = [fault for _ in rows]
        for item, part in zip(rows, parts, strict=True):
            if item.done():
                continue  # it was cancelled
            if isinstance(part, Reply):
                item.set_result(part)
            else:
                item.set_exception(part)


class Gathering:
    """The calls of a client that have not left yet, by the key that their items share. Used on one loop."""

    def __init__(self, batching: Callable[[], Batching]) -> None:
        self._batching = batching
        self._calls: dict[Hashable, Call] = {}

    def join(self, alike: Hashable, row: Any, send: Send) -> "tuple[Call, asyncio.Future[Reply]]":
        """Add a row to the call for items like it, which leaves when it is full or its wait is over."""
        batching = self._batching()
        if not batching.enable_dynamic_batching:
            return self.send_single(row, send)
        call = self._calls.get(alike)
        if call is None:
            call = self._calls[alike] = Call(send)
            wait = batching.max_wait_time_ms / 1000
            asyncio.get_running_loop().call_later(wait, self._leave, alike, call)
        item = call.add(row)
        if len(call) >= batching.max_batch_size:
            self._leave(alike, call)
        return call, item

    def send_single(self, row: Any, send: Send) -> "tuple[Call, asyncio.Future[Reply]]":
        call = Call(send)
        item = call.add(row)
        call.leave()
        return call, item

    def _leave(self, alike: Hashable, call: Call) -> None:
        if self._calls.get(alike) is call:  # else it was full before its wait was over
            del self._calls[alike]
            if len(call):
                call.leave()
