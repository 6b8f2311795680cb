"""How the last calls of a limit group ended in this process: whether a fault is an odd one, or the rule."""

import threading
import time
from collections import deque
from enum import Enum

from app.errors import BadAnswer, Blame, Booking, Misdirected, ProviderError

LOOKED_AT = 20  # calls
AGREE = 3  # calls in a row that show a wrong address where nothing was answered
PROBES_AGREE = 2  # the same where the last of them was a probe
OUTVOTE = 10  # calls in a row that show it although earlier ones were answered
UNUSABLE = 5  # bad answers in a row, the last of them a probe's in an outage, that are no accident
ANSWERED = ""
FIRST = 3  # calls that leave in the first moment: enough to agree
LOOK = 0.1  # seconds after which somebody who waits for the end of that moment looks again
MOMENT = 0.5  # seconds in which a wrong address or key has answered, and a model hardly ever


class Weight(Enum):
    """What a call's fault says of the calls to come."""

    ODD = "odd"  # others were answered
    OPEN = "open"  # too early to say
    SETTLED = "settled"  # they would end the same way


class Evidence:
    """Used on the event loop, except for `room`.

    It is the process's own, as is the address that it asks: after a change of the configuration new processes
    begin with nothing.
    """

    def __init__(self) -> None:
        self._ends: deque[str] = deque(maxlen=LOOKED_AT)
        self._first = FIRST  # calls that may still leave in the first moment
        self._opens_at: float | None = None  # monotonic: the end of that moment; None: it has not begun
        self._lock = threading.Lock()

    def room(self, want: int) -> tuple[int, float]:
        """How many of `want` calls may leave now, and in how many seconds to ask again; for any thread.

        Few leave in the first moment, unless one is answered in it: where the address or the key is wrong, a
        whole job would have left before anybody knew.
        """
        with self._lock:
            now = time.monotonic()
            if self._opens_at is None:
                self._opens_at = now + MOMENT
            if now >= self._opens_at:
                return want, 0.0
            count = min(want, self._first)
            self._first -= count
            return count, min(self._opens_at - now, LOOK)

    def note_answer(self) -> None:
        """A call was answered by the provider, if only with a refusal of this one request."""
        self._ends.append(ANSWERED)
        self._opens_at = 0.0

    def booking(self, error: ProviderError) -> Booking:
        """How to book a call that ended with `error`: who never answers a call has not billed one either."""
        if isinstance(error, Misdirected) and ANSWERED not in self._ends:
            return Booking.ANSWERED
        return error.booking

    def weigh(self, error: ProviderError, *, probe: bool, outage: bool) -> Weight:
        """Note a call that ended with `error`, and judge by the last ones whether it is the rule.

        `probe`: the call tried a held group. `outage`: so many calls of all processes fail.
        """
        if error.blame is Blame.RECORD and not error.signals_outage:
            self.note_answer()
            return Weight.ODD
        if not error.repeated:
            self._ends.append(error.type)
        if isinstance(error, Misdirected):
            return self._weigh_address(probe)
        is_rule = isinstance(error, BadAnswer) and outage and probe and self._in_a_row() >= UNUSABLE
        return Weight.SETTLED if is_rule else Weight.OPEN

    def _weigh_address(self, probe: bool) -> Weight:
        alike = self._in_a_row()
        if ANSWERED in self._ends:
            return Weight.SETTLED if alike >= OUTVOTE else Weight.ODD
        return Weight.SETTLED if alike >= (PROBES_AGREE if probe else AGREE) else Weight.OPEN

    def _in_a_row(self) -> int:
        """How many of the last calls ended as the very last did."""
        last, alike = self._ends[-1], 0
        for end in reversed(self._ends):
            if end != last:
                break
            alike += 1
        return alike
