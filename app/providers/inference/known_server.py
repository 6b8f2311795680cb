"""What a line of items has learnt of its server from the calls that have ended."""

import structlog

from app.errors import RefusedTogether, ServerFault
from app.providers.inference.batching import Answered, Call
from app.providers.inference.pairs import Pairs
from app.providers.inference.parallel import Parallel
from app.providers.inference.tuning import Plan, Tuner

log = structlog.get_logger()

LOOK_AGAIN = 10.0  # seconds until it is seen again whether a server makes one call after the other


class Flight:
    """A call in flight."""

    def __init__(self, number: int, *, full: bool, measured: bool, behind: Call | None) -> None:
        self.number = number  # of calls in flight when it left, with itself
        self.full = full
        self.measured = measured  # no other full call leaves before it ends
        self.alone = number == 1  # no other has left since
        self.behind = behind  # the first of a pair, of which this is the second


class KnownServer:
    """Times are seconds of the loop's clock."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.tuner = Tuner()
        self._parallel, self._pairs = Parallel(), Pairs()
        self._next_pair = 0.0
        self._logged: int | None = None  # the size that the log knows

    @property
    def limit(self) -> int:
        """How many full calls may be in flight."""
        return 1 if self._pairs.in_turn else self._parallel.limit

    def wants_pair(self, plan: Plan, spare: int, at: float) -> bool:
        """Whether the planned call is to leave behind another, of some of the `spare` items."""
        if self._pairs.in_turn:
            return True
        return at >= self._next_pair and plan.size == self.tuner.size and spare >= plan.size

    def ended(self, call: Call, flight: Flight, outcome: Answered | Exception | None, at: float) -> None:
        """Learn from a call's outcome; None: it was cancelled. Most failures say nothing of its size."""
        if isinstance(outcome, Answered):
            self.tuner.answered(outcome.items)
            if flight.full and outcome.items == call.size:
                self._learn(call, flight, outcome, at)
        elif outcome is None:
            self.tuner.given_up(call.size, at - call.left_at, at)
        elif isinstance(outcome, RefusedTogether | ServerFault) and call.size > 1:
            self.tuner.refused(call.size, at)

    def _learn(self, call: Call, flight: Flight, answered: Answered, at: float) -> None:
        alone_seconds = self.tuner.alone_seconds(call.size)
        if alone_seconds is not None:
            self._parallel.answered(flight.number, answered.seconds, alone_seconds, call.left_at, at)
        seconds = self._seconds(call, flight, answered, at)
        if seconds is not None:
            self.tuner.measured(call.size, seconds, at, holds_others=self.limit > 1)
            self._log_size()

    def _seconds(self, call: Call, flight: Flight, answered: Answered, at: float) -> float | None:
        """What the call took, without the calls before it; None if that cannot be told."""
        first = flight.behind
        if first is None:
            return answered.seconds if flight.alone and not self._pairs.in_turn else None
        if first.answered_at is None and not first.is_open:
            return None  # it failed
        apart = -answered.seconds if first.answered_at is None else answered.at - first.answered_at
        if first.size == call.size:
            self._note_pair(max(answered.seconds - apart, apart), apart, at)
        return min(apart, answered.seconds) if self._pairs.in_turn and apart > 0 else None

    def _note_pair(self, first_seconds: float, apart: float, at: float) -> None:
        before = self._pairs.in_turn
        self._pairs.ended(first_seconds, apart)
        if self._pairs.known and not self._pairs.in_turn:
            self._next_pair = at + LOOK_AGAIN
        if self._pairs.in_turn != before:
            self.tuner.start_again(at)  # the times so far were measured in another way

    def _log_size(self) -> None:
        if not self.tuner.searching and self.tuner.size != self._logged:
            self._logged = self.tuner.size
            rate = self.tuner.rate
            log.info(
                "batching.tuned",
                model=self._model,
                batch_size=self._logged,
                items_per_second=None if rate is None else round(rate, 1),
            )
