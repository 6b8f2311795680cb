"""Whole requests that wait for a thread: one caller's after another's, whoever sends the most."""

from collections import Counter, deque
from collections.abc import Callable

from app.server.bounds import REQUESTS, REQUESTS_OF_ONE
from app.server.connection import Connection

Caller = tuple[str, str]  # an address, and a key that nobody has checked yet
Start = Callable[[Connection], object]


class Turns:
    """Gives `REQUESTS` threads to callers in turn, and to one caller no more than `REQUESTS_OF_ONE`.

    A request that takes a seat, as streams and waits do, counts no longer. So no request ever waits in the
    pool of threads itself, where the first to come is the first to go.
    """

    def __init__(self) -> None:
        self._waiting: dict[Caller, deque[tuple[Connection, Start]]] = {}  # the next caller first
        self._running: dict[Connection, Caller] = {}
        self._of_one: Counter[Caller] = Counter()

    def ask(self, connection: Connection, start: Start) -> None:
        """Call `start`, which gives the connection's request to a thread, when it is its turn."""
        caller = (connection.address, connection.incoming.key)
        self._waiting.setdefault(caller, deque()).append((connection, start))
        self._start_some()

    def end(self, connection: Connection) -> None:
        """The connection's request has ended, or has taken a seat."""
        caller = self._running.pop(connection, None)
        if caller is None:
            return
        self._of_one[caller] -= 1
        if not self._of_one[caller]:
            del self._of_one[caller]
        self._start_some()

    def _start_some(self) -> None:
        while len(self._running) < REQUESTS and (caller := self._next()) is not None:
            waiting = self._waiting.pop(caller)
            connection, start = waiting.popleft()
            if waiting:
                self._waiting[caller] = waiting  # behind all others
            self._running[connection] = caller
            self._of_one[caller] += 1
            start(connection)

    def _next(self) -> Caller | None:
        """The first caller that may have another thread; only a few can have as many as they may."""
        return next((each for each in self._waiting if self._of_one[each] < REQUESTS_OF_ONE), None)
