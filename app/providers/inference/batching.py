"""Dynamic batching: items that share a call, from their arrival to their replies."""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.errors import ProviderError
from app.providers.client import Reply


@dataclass(frozen=True, slots=True)
class Batching:
    """The settings in force."""

    max_batch_size: int  # items of one call
    max_wait_time_ms: int  # that an item waits for others
    enable_dynamic_batching: bool  # False: each item has a call of its own
    enable_adaptive_batching: bool  # False: size and wait are those two; True: at most those


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a call: the result of each row, in order."""

    parts: Sequence[Reply | ProviderError]
    items: int  # that the server was asked about; the other rows did not fit the model
    seconds: float  # that it took to answer
    at: float  # when the answer was there, on the monotonic clock


# Makes one call for some rows. If it raises, every row has failed.
Send = Callable[[Sequence[Any]], Awaitable[Answered]]


class Holder(Protocol):
    """What has an item: the line in which it waits, then its call."""

    async def lose(self, item: "Item") -> None:
        """The item has its reply, or nobody waits for it any more."""

    def failure(self, error: ProviderError) -> ProviderError:
        """The error for one of the items."""


class Item:
    """A row that is asked about. It came at `came_at`, in seconds of the loop's clock."""

    def __init__(self, row: Any, came_at: float, holder: Holder) -> None:
        self.row, self.came_at, self.holder = row, came_at, holder
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    async def reply(self) -> Reply:
        """The item's reply. When the last waiting item of a call is cancelled, so is the call."""
        try:
            return await self.future
        finally:
            await self.holder.lose(self)

    def failure(self, error: ProviderError) -> ProviderError:
        """The error for this item, which gave up."""
        return self.holder.failure(error)


class Call:
    """One call, which leaves as it is made. `on_end` gets its outcome; None: it was cancelled."""

    def __init__(
        self,
        items: Sequence[Item],
        send: Send,
        on_end: "Callable[[Call, Answered | Exception | None], None]",
    ) -> None:
        self._items = dict.fromkeys(items)
        for item in items:
            item.holder = self
        self.size = len(items)
        self.left_at = asyncio.get_running_loop().time()
        self.answered_at: float | None = None  # on the monotonic clock
        self._reported = False  # an item has reported the failure
        self._outcome: Answered | Exception | None = None
        self._task = asyncio.create_task(self._run(items, send))
        # Not at the end of `_run`: a task that is cancelled before its first step runs nothing of it.
        self._task.add_done_callback(lambda _: on_end(self, self._outcome))

    @property
    def is_open(self) -> bool:
        """Whether it is still to be known what comes of it."""
        return self._outcome is None and not self._task.done()

    async def lose(self, item: Item) -> None:
        del self._items[item]
        if not self._items and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    def failure(self, error: ProviderError) -> ProviderError:
        """The error for one of the items: the first reports it, the others repeat it."""
        error.repeated, self._reported = self._reported, True
        return error

    async def _run(self, items: Sequence[Item], send: Send) -> None:
        parts: Sequence[Reply | Exception]
        try:
            self._outcome = answered = await send([item.row for item in items])
            self.answered_at = answered.at
            parts = answered.parts
        except ProviderError as error:
            self._outcome = error
            parts = [self.failure(copy.copy(error)) for _ in items]
        except Exception as fault:
            self._outcome = fault
            parts = [fault for _ in items]
        for item, part in zip(items, parts, strict=True):
            if item.future.done():
                continue  # it was cancelled
            if isinstance(part, Reply):
                item.future.set_result(part)
            else:
                item.future.set_exception(part)
