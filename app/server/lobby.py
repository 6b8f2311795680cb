"""The connections that no thread works for: they send a request, take an answer, or are idle."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.server import bounds
from app.server.connection import Connection
from app.server.watch import Phase, Watch

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
BRIEF = (Phase.IDLE, Phase.REQUEST, Phase.LEAVING)  # they end soon when the server stops


@dataclass(frozen=True, slots=True)
class Hands:
    """What the lobby leaves to the worker. The first two give the connection to a thread."""

    serve: Callable[[Connection], object]  # its request is whole
    ask: Callable[[Connection], object]  # its body is large: may it be sent?
    refuse: Callable[[Connection, Exception], None]  # write the answer to a request that is none
    time_out: Callable[[Connection], None]  # write the answer to a request that takes too long


class Lobby:
    """One thread, the poller, calls its methods; none of them waits."""

    def __init__(self, watch: Watch, hands: Hands, most: int, idle: float) -> None:
        """`most` connections; a connection may be idle for `idle` seconds, unless it is a proxy's."""
        self.connections: set[Connection] = set()  # those that a thread works for, too
        self.turned_away = 0  # connections that had to go for others
        self._watched, self._hands = watch, hands
        self._most, self._idle = most, idle
        self._longest = float("inf")  # seconds in a brief phase

    def enter(self, connection: Connection) -> None:
        """Take in a new connection; when there is no room, the oldest without a whole request goes for it."""
        if len(self.connections) >= self._most and not self.make_room():
            self.turned_away += 1
            _say_busy(connection)
            return
        self.connections.add(connection)
        self._watch(connection, Phase.REQUEST, bounds.HEAD_SECONDS)
        self._receive(connection)

    def make_room(self) -> bool:
        """Close the oldest connection without a whole request; false when there is none."""
        oldest = self._watched.crowd.oldest()
        if oldest is None:
            return False
        self._turn_away(oldest)
        return True

    def go_on(self, connection: Connection) -> None:
        """Read the large body: the application allows it."""
        self._take(connection, b"")

    def finish(self, connection: Connection) -> None:
        """The answer is written, if not yet sent."""
        connection.incoming.close()
        try:
            connection.sock.end()
        except OSError:  # a WebSocket's library has closed it
            self.close(connection)
            return
        if connection.sock.kept:
            self._watch(connection, Phase.ANSWER, bounds.ANSWER_SECONDS)
            self._bound_answers()
        else:
            self._start_next(connection)

    def close(self, connection: Connection) -> None:
        self._watched.drop(connection)
        self.connections.discard(connection)
        connection.close()

    def sweep(self) -> None:
        """Close what has taken too long."""
        for connection in self._watched.overdue():
            phase = self._watched.phase(connection)
            if phase in (Phase.REQUEST, Phase.LARGE_BODY) and connection.incoming.has_begun:
                self._leave_to(self._time_out, connection)
            elif phase is not None:  # it may just have had to go for another
                self.close(connection)

    def stop(self) -> None:
        """The server stops: whoever has brought no request has little time left for it."""
        self._longest = bounds.STOP_SECONDS
        latest = time.monotonic() + self._longest
        for connection in self._watched.of(*BRIEF):
            connection.deadline = min(connection.deadline, latest)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.wire.recv(bounds.RECEIVED)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close(connection)  # the client has gone
        elif self._watched.phase(connection) is not Phase.LEAVING:
            self._take(connection, data)

    def _take(self, connection: Connection, data: bytes) -> None:
        try:
            connection.feed(data)
            self._react(connection, len(data))
        except Exception as error:
            self._leave_to(self._refuse, connection, error)

    def _react(self, connection: Connection, count: int) -> None:
        incoming = connection.incoming
        if incoming.is_whole:
            self._leave_to(self._hands.serve, connection)
        elif incoming.needs_grant:
            self._leave_to(self._hands.ask, connection)
        else:
            if incoming.has_head and incoming.must_say_continue():
                connection.sock.sendall(CONTINUE)
                connection.sock.flush()
            self._await_more(connection, count)

    def _await_more(self, connection: Connection, count: int) -> None:
        incoming = connection.incoming
        wanted = Phase.LARGE_BODY if incoming.grant.bytes else Phase.REQUEST
        if self._watched.phase(connection) is not wanted:
            self._watch(connection, wanted, bounds.BODY_SECONDS if incoming.has_head else bounds.HEAD_SECONDS)
        elif incoming.has_head:
            connection.note_progress(count, bounds.BODY_BYTES, bounds.BODY_SECONDS)

    def _refuse(self, connection: Connection, error: Exception) -> None:
        self._hands.refuse(connection, error)
        connection.goes_on = False
        self.finish(connection)

    def _time_out(self, connection: Connection) -> None:
        self._hands.time_out(connection)
        connection.goes_on = False
        self.finish(connection)

    def _send(self, connection: Connection) -> None:
        try:
            sent = connection.sock.send_kept()
        except OSError:
            self.close(connection)
            return
        if not connection.sock.kept:
            self._start_next(connection)
        else:
            connection.note_progress(sent, bounds.ANSWER_BYTES, bounds.ANSWER_SECONDS)

    def _start_next(self, connection: Connection) -> None:
        if not connection.goes_on:
            self._say_goodbye(connection)
            return
        connection.start_next()
        is_proxy = self._watched.crowd.is_proxy(connection)
        self._watch(connection, Phase.IDLE, bounds.PROXY_IDLE_SECONDS if is_proxy else self._idle)
        if connection.surplus:
            self._take(connection, b"")

    def _say_goodbye(self, connection: Connection) -> None:
        """Let the client read its last answer: a socket closed with unread input resets the connection."""
        whole = connection.incoming.is_whole
        try:
            connection.wire.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(connection)
            return
        seconds = bounds.LINGER_SECONDS if whole else bounds.LINGER_BODY_SECONDS
        self._watch(connection, Phase.LEAVING, seconds)

    def _bound_answers(self) -> None:
        """When too much waits for its readers, the one that took nothing for longest is cut."""
        waiting = self._watched.of(Phase.ANSWER)
        if sum(each.sock.kept for each in waiting) > bounds.ANSWERS:
            self._turn_away(min(waiting, key=lambda each: each.deadline))

    def _watch(self, connection: Connection, phase: Phase, seconds: float) -> None:
        connection.give(min(seconds, self._longest) if phase in BRIEF else seconds)
        react = self._send if phase is Phase.ANSWER else self._receive
        must_go = self._watched.put(connection, phase, react)
        if must_go is not None:
            self._turn_away(must_go)

    def _leave_to(self, hand: Callable[..., object], connection: Connection, *more: Any) -> None:
        self._watched.drop(connection)
        hand(connection, *more)

    def _turn_away(self, connection: Connection) -> None:
        self.turned_away += 1
        self.close(connection)


def _say_busy(connection: Connection) -> None:
    try:
        connection.wire.send(BUSY)
    except OSError:
        pass  # the client has gone
    connection.close()
