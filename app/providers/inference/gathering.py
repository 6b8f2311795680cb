"""Where items wait until their call leaves: full, or when no more items are to be expected.

With adaptive batching, each kind of items has the size at which its server is fastest (`tuning`), a wait that
follows the arrivals (`patience`), and as many full calls in flight as the server answers side by side
(`parallel`). All of this is what one process has seen of its own calls, and ends with the process.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from app.errors import ProviderError
from app.providers.inference.batching import Answered, Batching, Call, Item, Send
from app.providers.inference.known_server import Flight, KnownServer
from app.providers.inference.pairs import STAGGER
from app.providers.inference.patience import Patience
from app.providers.inference.tuning import Plan

LINES = 1_000  # kinds of items whose tuning is remembered
CROWD = 8  # calls in flight, from which on one that is not full waits for one of them to end


class Kind(NamedTuple):
    """What the items of one call have in common."""

    model: str
    shape: tuple[int, ...]  # of a row


class Gathering:
    """The items and calls of a client. Used on one loop."""

    def __init__(self, batching: Callable[[], Batching]) -> None:
        self._batching = batching
        self._lines: dict[Kind, Line] = {}  # the one used last comes last

    def join(self, kind: Kind, row: Any, send: Send, *, single: bool) -> Item:
        """Add a row to the items of its kind; `send` makes a call for such rows.

        `single`: in a call of its own.
        """
        line = self._lines.pop(kind, None) or Line(kind, self._batching, send)
        self._lines[kind] = line
        if len(self._lines) > LINES:
            self._forget_one()
        if single or not self._batching().enable_dynamic_batching:
            return line.add_single(row)
        return line.add(row)

    def _forget_one(self) -> None:
        idle = next((kind for kind, line in self._lines.items() if line.is_idle), None)
        if idle is not None:
            del self._lines[idle]


class Line:
    """Items of one kind: those that wait, in the order of their arrival, and the calls in flight."""

    def __init__(self, kind: Kind, batching: Callable[[], Batching], send: Send) -> None:
        self._kind, self._batching, self._send = kind, batching, send
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Item, None] = {}
        self._flights: dict[Call, Flight] = {}
        self._came_at = 0.0  # when the latest item came
        self._timer: asyncio.Handle | None = None
        self._wakes_at = 0.0  # when it is due: a handle of uvloop's cannot always tell
        self._second: asyncio.TimerHandle | None = None  # of a pair, about to leave
        self._server, self._patience = KnownServer(kind.model), Patience()

    @property
    def is_idle(self) -> bool:
        return not self._waiting and not self._flights and self._second is None

    def add(self, row: Any) -> Item:
        item = Item(row, self._loop.time(), self)
        self._note_arrival(item.came_at)
        self._waiting[item] = None
        self._advance()
        return item

    def add_single(self, row: Any) -> Item:
        item = Item(row, self._loop.time(), self)
        self._send_off([item])
        return item

    async def lose(self, item: Item) -> None:
        self._waiting.pop(item, None)

    def failure(self, error: ProviderError) -> ProviderError:
        return error

    # --- what leaves, and when

    def _advance(self) -> None:
        """Let every call leave that may. To be called when an item has come, a call or a wait has ended."""
        while self._waiting:
            plan = self._plan()
            if len(self._waiting) >= plan.size:
                if not self._may_leave(plan):
                    return  # a call in flight comes back here when it ends
                self._leave_full(plan)
            elif (due := self._due(plan)) > self._loop.time():
                self._wake_at(due)
                return
            elif plan.alone:
                self._server.tuner.unfilled(plan.size, self._loop.time())
            elif len(self._flights) < max(CROWD, self._server.limit) or not self._adapts:
                if len(self._waiting) == 1:
                    self._patience.in_vain(self._longest)
                self._leave(len(self._waiting), full=False)
            else:
                return

    def _plan(self) -> Plan:
        most = self._batching().max_batch_size
        return self._server.tuner.plan(most, self._loop.time()) if self._adapts else Plan(most)

    def _may_leave(self, plan: Plan) -> bool:
        """Whether a full call may leave; the others wait for its turn with its items."""
        if not self._flights or not self._adapts:
            return True
        if (
            plan.alone
            or self._second is not None
            or any(flight.measured for flight in self._flights.values())
        ):
            return False
        return len(self._flights) < self._server.limit

    def _leave_full(self, plan: Plan) -> None:
        """A call that is to be measured leaves behind another, if there are items for two."""
        spare = len(self._waiting) - plan.size
        if plan.alone and spare and self._server.wants_pair(plan, spare, self._loop.time()):
            first = self._leave(min(spare, self._server.tuner.size), full=False)
            items = self._take(plan.size)
            self._second = self._loop.call_later(STAGGER, self._leave_second, items, first)
        else:
            self._leave(plan.size, full=True, measured=plan.alone)

    def _leave_second(self, items: Sequence[Item], first: Call) -> None:
        self._second = None
        here = [item for item in items if item.holder is self and not item.future.done()]
        if here:
            self._send_off(here, full=len(here) == len(items), measured=True, behind=first)
        else:
            self._advance()

    def _leave(self, count: int, *, full: bool, measured: bool = False) -> Call:
        return self._send_off(self._take(count), full=full, measured=measured)

    def _take(self, count: int) -> list[Item]:
        items = list(islice(self._waiting, count))
        for item in items:
            del self._waiting[item]
        return items

    def _send_off(
        self,
        items: Sequence[Item],
        *,
        full: bool = False,
        measured: bool = False,
        behind: Call | None = None,
    ) -> Call:
        for flight in self._flights.values():
            flight.alone = False
        call = Call(items, self._send, self._ended)
        number = len(self._flights) + 1
        self._flights[call] = Flight(number, full=full, measured=measured, behind=behind)
        return call

    def _due(self, plan: Plan) -> float:
        """When the items that wait are to leave, full or not.

        Those for a call that is to be measured may come with the answers of the calls in flight.
        """
        latest = next(iter(self._waiting)).came_at + self._longest
        if not self._adapts or (plan.alone and self._flights):
            return latest
        return min(latest, self._came_at + self._patience.silence(self._longest))

    @property
    def _adapts(self) -> bool:
        return self._batching().enable_adaptive_batching

    @property
    def _longest(self) -> float:
        return self._batching().max_wait_time_ms / 1000

    def _wake_at(self, due: float) -> None:
        if self._timer is not None:
            if self._wakes_at <= due:
                return  # it looks again then
            self._timer.cancel()
        self._timer, self._wakes_at = self._loop.call_at(due, self._wake), due

    def _wake(self) -> None:
        self._timer = None
        self._advance()

    # --- what is learnt

    def _note_arrival(self, at: float) -> None:
        """Learn from the gap since the item before.

        An item that comes after all calls have ended may be the consequence of an answer, and would not have
        come however long the others had waited.
        """
        gap = at - self._came_at
        expected = self._waiting or any(call.is_open for call in self._flights)
        if expected and gap <= self._longest:
            self._patience.came(gap)
        self._came_at = at

    def _ended(self, call: Call, outcome: Answered | Exception | None) -> None:
        self._server.ended(call, self._flights.pop(call), outcome, self._loop.time())
        self._advance()
