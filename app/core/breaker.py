"""A circuit breaker: a server that did not answer is not asked for a while, as a try may take its timeout."""

import time
from collections.abc import Callable

PAUSE = 5.0  # seconds; a caller that asks all the time spends a sixth of it on timeouts of one second


class Breaker:
    """Open for a while after each failure. Threads share one without a lock: its state is one number."""

    def __init__(self, pause: float = PAUSE, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause, self._clock = pause, clock
        self._closes_at = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether the server should not be asked now."""
        return self._clock() < self._closes_at

    def trip(self) -> None:
        """Open the breaker, after the server did not answer."""
        self._closes_at = self._clock() + self._pause
