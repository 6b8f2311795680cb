"""WebSockets for watching jobs: many jobs per connection, each reported when its rows change.

A connection holds a seat, as a stream does. Nothing is buffered for slow readers: a client that lets a
message wait too long, or sends more requests than are being answered, is cut off.
"""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from flask import g, request
from simple_websocket import ConnectionClosed, Server

from app.core.accounts.revocation import Use
from app.core.reading import events
from app.core.reading.feed import Reader, feed
from app.core.reading.job_json import Limited
from app.core.reading.jobs import JobView
from app.errors import NotFound, ReaderCut, Unauthenticated
from app.web import capacity

PING = 25.0  # seconds between two protocol pings; each must be answered before the next
STALLED = 10  # seconds in which a reader must take a message
IDLE = 5.0  # seconds without a subscription after which the server closes
GOODBYE = 2.0  # seconds in which a client answers that the server closes
MOST_SUBSCRIPTIONS = 100  # per connection
MOST_UNREAD = 1_000  # messages from a client that wait for their answer
LARGEST = 4_096  # bytes of a client's message
OPTIONS = {"ping_interval": PING, "max_message_size": LARGEST}

NORMAL, GOING_AWAY, POLICY = 1000, 1001, 1008

REVOKED = "the API key was revoked, or lost its scope"

# The job with the name that a reader gives; raises `NotFound`, or `Unauthenticated` for a revoked key.
Find = Callable[[str], JobView]
Write = Callable[[JobView, str], Mapping[str, Any]]


class Wire:
    """A connection's socket that sends whole frames, one at a time, with a timeout."""

    def __init__(self, wire: socket.socket) -> None:
        self._socket, self._sending = wire, threading.Lock()
        wire.setblocking(True)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", STALLED, 0))

    def send(self, data: bytes) -> None:
        with self._sending:
            self._socket.sendall(data)

    def cut(self) -> None:
        """End the connection at once, even if a thread still waits on it."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the client has gone

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class Inbox(list[str]):
    """A client's unread messages; too many end the connection."""

    def __init__(self, messages: list[str], wire: Wire) -> None:
        super().__init__(messages)
        self._wire = wire

    def append(self, message: str) -> None:
        if len(self) >= MOST_UNREAD:
            self._wire.cut()
            raise ConnectionError(f"over {MOST_UNREAD} unread messages")
        super().append(message)


def take_seat() -> None:
    """Take a seat before the upgrade: raises `Unavailable` when the caller's tenant gets none."""
    g.seat = capacity.take_seat()
    for name in ("gunicorn.socket", "werkzeug.socket"):
        if name in request.environ:
            request.environ[name] = Wire(request.environ[name])


def give_seat_back(_error: BaseException | None = None) -> None:
    taken = g.pop("seat", None)
    if taken is not None:
        taken.give_back()


class Watching:
    """One connection: its subscriptions, and what it is sent."""

    def __init__(
        self, connection: Server, use: Use, find: Find, write: Write, not_found: Callable[[str], Any]
    ) -> None:
        self._connection, self._use = connection, use
        self._find, self._write, self._not_found = find, write, not_found
        self._readers: dict[str, Reader] = {}
        self._idle_since = time.monotonic()
        connection.input_buffer = Inbox(connection.input_buffer, connection.sock)

    def run(self) -> None:
        """Serve the connection until it ends."""
        try:
            while self._connection.connected:
                self._connection.event.wait(self._idle_for() if not self._readers else None)
                self._connection.event.clear()
                if self._use.revoked:
                    self._close(POLICY, REVOKED)
                    return
                self._hear()
                self._tell()
                if not self._readers and self._idle_for() <= 0 and self._connection.connected:
                    self._connection.close()
        except OSError:  # the client has gone, or took nothing for too long
            self._connection.sock.cut()
        except ReaderCut:
            self._close(GOING_AWAY, "try again")
        finally:
            for name in list(self._readers):
                self._leave(name)
            self._end()

    def _end(self) -> None:
        """Return when the library's thread has ended, which closes the socket.

        Later than that, the server would poll a descriptor that becomes another connection's.
        """
        with suppress(OSError, ConnectionClosed):  # the client has gone
            self._close(NORMAL, None)
        self._connection.thread.join(GOODBYE)
        self._connection.sock.cut()  # the thread reads the end, if it has not read the client's goodbye
        self._connection.thread.join()

    def _idle_for(self) -> float:
        """Seconds until a connection without a subscription is closed."""
        return max(0.0, self._idle_since + IDLE - time.monotonic())

    def _hear(self) -> None:
        while self._connection.input_buffer and self._connection.connected:
            action, name = _read(self._connection.input_buffer.pop(0))
            if name is None or action not in ("subscribe", "unsubscribe"):
                self._close(POLICY, 'send {"action": "subscribe" or "unsubscribe", "batch_id": "…"}')
            elif action == "subscribe":
                self._subscribe(name)
            else:
                self._leave(name)

    def _subscribe(self, name: str) -> None:
        """Answer with the job's state at once, then with its changes."""
        self._leave(name)
        if len(self._readers) >= MOST_SUBSCRIPTIONS:
            self._close(POLICY, f"over {MOST_SUBSCRIPTIONS} subscriptions: open another connection")
            return
        try:
            view = self._find(name)
        except NotFound:
            self._send(self._not_found(name))
            return
        except Unauthenticated:
            self._close(POLICY, REVOKED)
            return
        if not view.status.final:
            self._readers[name] = feed().join(view, events.state(view, Limited()), self._connection.event.set)
        self._send(self._write(view, name))

    def _leave(self, name: str) -> None:
        reader = self._readers.pop(name, None)
        if reader is not None:
            feed().leave(reader)
        self._idle_since = time.monotonic()

    def _tell(self) -> None:
        for name, reader in list(self._readers.items()):
            view = _newest(reader)
            if view is None:
                continue
            self._send(self._write(view, name))
            if view.status.final:
                self._leave(name)

    def _send(self, message: Mapping[str, Any]) -> None:
        self._connection.send(json.dumps(message))

    def _close(self, code: int, why: str | None) -> None:
        if self._connection.connected:
            self._connection.close(code, why)


def _newest(reader: Reader) -> JobView | None:
    """The job's state in the reader's last event, which includes everything in the events before it."""
    view = None
    while (event := reader.next(0)) is not None:
        view = event.view or view
    return view


def _read(message: str) -> tuple[Any, str | None]:
    """A client's action and its job; None when the message is not valid."""
    try:
        asked = json.loads(message)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(asked, dict) or not isinstance(asked.get("batch_id"), str):
        return None, None
    return asked.get("action"), asked["batch_id"][:128]
