"""A server that did not answer is left alone for a while: whoever asks may wait as long as its timeout."""

import time
from collections.abc import Callable

PAUSE = 5.0  # seconds; a timeout of one second then takes a sixth of the time of who always asks


class Breaker:
    """Open for a while after each failure. Threads share one without a lock: what it knows is one number."""

    def __init__(self, pause: float = PAUSE, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause, self._clock = pause, clock
        self._closes_at = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether the server is to be left alone."""
        return self._clock() < self._closes_at

    def trip(self) -> None:
        """The server did not answer."""
        self._closes_at = self._clock() + self._pause
