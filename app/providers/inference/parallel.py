"""How many full calls of a model a process has in flight: as many as the server answers side by side.

A server that answers one call after the other gains nothing from a second one that waits there, and its items
could still share a call with others here. The limit rises while calls take about as long as one alone does,
and falls when they take longer, as in TCP Vegas and Netflix's concurrency-limits.
"""

QUEUED = 1.5  # times the time of a call alone: it has waited behind others
START = 4.0  # calls
LESS = 0.75  # of the limit, once for each round of calls
MORE = 0.1  # calls, for each that was answered in time; 1 until the first that was not


class Parallel:
    """Pure arithmetic; `left_at` and `at` are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._limit = START
        self._lowered_at: float | None = None

    @property
    def limit(self) -> int:
        return int(self._limit)

    def answered(self, in_flight: int, seconds: float, alone: float, left_at: float, at: float) -> None:
        """A call that left as one of `in_flight` was answered after `seconds`; alone it takes `alone`."""
        if seconds > QUEUED * alone:
            if in_flight > 1 and (self._lowered_at is None or left_at >= self._lowered_at):
                self._limit = max(1.0, LESS * min(self._limit, in_flight))
                self._lowered_at = at
        elif in_flight >= self.limit:
            self._limit += 1 if self._lowered_at is None else MORE
