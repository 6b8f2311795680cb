"""What the poller watches: sockets, and how long each connection may stay as it is."""

import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from app.server.connection import Connection
from app.server.crowd import Crowd

SWEEP = 0.5  # seconds between two looks at all deadlines
BULKY = 16  # large bodies and answers that are moved on in one turn of the poller; requests come first

React = Callable[[Connection], None]


class Phase(Enum):
    IDLE = auto()  # between two requests
    REQUEST = auto()  # its request comes
    LARGE_BODY = auto()  # the same, of a caller who may send it: it is not asked to leave for others
    ANSWER = auto()  # it takes an answer
    LEAVING = auto()  # it has its last answer, and may still be sending

    @property
    def is_bulky(self) -> bool:
        return self in (Phase.LARGE_BODY, Phase.ANSWER, Phase.LEAVING)


@dataclass(frozen=True, slots=True)
class Ready:
    """What a connection does when its socket is ready."""

    watch: "Watch"
    connection: Connection
    react: React

    @property
    def is_bulky(self) -> bool:
        phase = self.watch.phase(self.connection)
        return phase is not None and phase.is_bulky

    def __call__(self, _wire: object) -> None:
        if self.watch.phase(self.connection):  # an earlier event of the same turn may have closed it
            self.connection.moved_at = time.monotonic()
            self.react(self.connection)


def in_turn(keys: Sequence[selectors.SelectorKey]) -> list[selectors.SelectorKey]:
    """What is done in one turn: requests first, then the bulky ones that have waited longest."""
    bulky = [key for key in keys if _is_bulky(key)]
    if not bulky:
        return list(keys)
    bulky.sort(key=lambda key: key.data.connection.moved_at)
    return [key for key in keys if not _is_bulky(key)] + bulky[:BULKY]


def _is_bulky(key: selectors.SelectorKey) -> bool:
    return isinstance(key.data, Ready) and key.data.is_bulky


class Watch:
    """The connections that no thread works for, each with what it is doing."""

    def __init__(self, selector: selectors.BaseSelector, crowd: Crowd) -> None:
        self.crowd = crowd
        self._selector = selector
        self._phases: dict[Connection, Phase] = {}
        self._swept = time.monotonic()

    def phase(self, connection: Connection) -> Phase | None:
        """None: it is not watched."""
        return self._phases.get(connection)

    def of(self, *phases: Phase) -> list[Connection]:
        return [connection for connection, phase in self._phases.items() if phase in phases]

    def put(self, connection: Connection, phase: Phase, react: React) -> Connection | None:
        """Call `react` whenever the socket is ready; returns the connection that must go for it, if any."""
        listen = self._selector.modify if connection in self._phases else self._selector.register
        events = selectors.EVENT_WRITE if phase is Phase.ANSWER else selectors.EVENT_READ
        listen(connection.wire, events, Ready(self, connection, react))
        self._phases[connection] = phase
        if phase in (Phase.ANSWER, Phase.LARGE_BODY):
            self.crowd.leave(connection)
            return None
        return self.crowd.join(connection)

    def drop(self, connection: Connection) -> None:
        if self._phases.pop(connection, None) is not None:
            self._selector.unregister(connection.wire)
        self.crowd.leave(connection)

    def overdue(self) -> list[Connection]:
        """Those whose time is over; most of the time it is too early to look."""
        now = time.monotonic()
        if now - self._swept < SWEEP:
            return []
        self._swept = now
        return [connection for connection in self._phases if connection.deadline <= now]
