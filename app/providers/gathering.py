"""Where items wait until their call leaves: full, or when no more items are to be expected.

With adaptive batching, each kind of items has the size at which its server is fastest (`tuning`), a wait that
follows the arrivals (`patience`), and as many full calls in flight as the server answers side by side
(`parallel`). All of this is what one process has seen of its own calls, and ends with it.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import structlog

from app.errors import ProviderError, RefusedTogether, ServerFault
from app.providers.batching import Answered, Batching, Call, Item, Send
from app.providers.parallel import Parallel
from app.providers.patience import Patience
from app.providers.tuning import Plan, Tuner

log = structlog.get_logger()

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
        self._timer: asyncio.TimerHandle | None = None
        self._tuner, self._patience, self._parallel = Tuner(), Patience(), Parallel()
        self._logged: int | None = None  # the size that the log knows

    @property
    def is_idle(self) -> bool:
        return not self._waiting and not self._flights

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
                self._leave(plan.size, full=True, measured=plan.alone)
            elif (due := self._due(plan)) > self._loop.time():
                self._wake_at(due)
                return
            elif plan.alone:
                self._tuner.unfilled(plan.size, self._loop.time())
            elif len(self._flights) < max(CROWD, self._parallel.limit) or not self._adapts:
                self._leave(len(self._waiting), full=False, measured=False)
            else:
                return

    def _plan(self) -> Plan:
        most = self._batching().max_batch_size
        return self._tuner.plan(most, self._loop.time()) if self._adapts else Plan(most)

    def _may_leave(self, plan: Plan) -> bool:
        """Whether a full call may leave; the others wait for its turn with its items."""
        if not self._flights or not self._adapts:
            return True
        if plan.alone or any(flight.measured for flight in self._flights.values()):
            return False
        return len(self._flights) < self._parallel.limit

    def _leave(self, count: int, *, full: bool, measured: bool) -> None:
        items = list(islice(self._waiting, count))
        if not full and count == 1:
            self._patience.in_vain(self._longest)
        for item in items:
            del self._waiting[item]
        self._send_off(items, full=full, measured=measured)

    def _send_off(self, items: Sequence[Item], *, full: bool = False, measured: bool = False) -> None:
        for flight in self._flights.values():
            flight.alone = False
        call = Call(items, self._send, self._ended)
        self._flights[call] = Flight(len(self._flights) + 1, full=full, measured=measured)

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
            if self._timer.when() <= due:
                return  # it looks again then
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._wake)

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
        flight = self._flights.pop(call)
        at = self._loop.time()
        if isinstance(outcome, Answered):
            self._learn(call, flight, outcome, at)
        elif outcome is None:
            self._tuner.given_up(call.size, at - call.left_at, at)
        elif isinstance(outcome, RefusedTogether | ServerFault) and call.size > 1:
            self._tuner.refused(call.size, at)
        self._advance()

    def _learn(self, call: Call, flight: "Flight", answered: Answered, at: float) -> None:
        self._tuner.answered(answered.items)
        if not flight.full or answered.items != call.size:
            return
        alone_seconds = self._tuner.alone_seconds(call.size)
        if alone_seconds is not None:
            self._parallel.answered(flight.number, answered.seconds, alone_seconds, call.left_at, at)
        if flight.alone:
            holds = self._parallel.limit > 1
            self._tuner.measured(call.size, answered.seconds, at, holds_others=holds)
            self._log_size()

    def _log_size(self) -> None:
        if not self._tuner.searching and self._tuner.size != self._logged:
            self._logged = self._tuner.size
            rate = self._tuner.rate
            log.info(
                "batching.tuned",
                model=self._kind.model,
                batch_size=self._logged,
                items_per_second=None if rate is None else round(rate, 1),
            )


class Flight:
    """A call in flight as its line sees it."""

    def __init__(self, number: int, *, full: bool, measured: bool) -> None:
        self.number = number  # of calls in flight when it left, with itself
        self.full = full
        self.measured = measured  # it was planned to be alone
        self.alone = number == 1  # no other has left since
