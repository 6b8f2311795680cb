"""The socket that an answer is written to. Writing does not wait for a reader that is slow."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.server.bounds import IN_MEMORY
from app.server.spool import Spool


class Outlet:
    """A connection's socket, as gunicorn and the application see it.

    What the client does not take at once is kept, and the poller sends it when the thread is long gone. An
    answer that must not be kept, such as a stream, calls `settimeout` or `setblocking` first: from then on
    until its end writing waits for the reader, as on any socket.
    """

    def __init__(self, wire: socket.socket, folder: Path) -> None:
        self._wire, self._folder = wire, folder
        self._small = bytearray()  # written together: a head and a short body are one packet
        self._kept: Spool | None = None
        self._waits = False
        self.on_seat: Callable[[], None] = lambda: None  # the request has taken one of the streams' seats

    @property
    def kept(self) -> int:
        """Bytes that wait for their reader."""
        return 0 if self._kept is None else self._kept.left

    def settimeout(self, seconds: float | None) -> None:
        self._start_waiting()
        self._wire.settimeout(seconds)

    def setblocking(self, flag: bool) -> None:
        self.settimeout(None if flag else 0.0)

    def sendall(self, data: bytes) -> None:
        if self._waits:
            self._wire.sendall(data)
        elif len(self._small) + len(data) <= IN_MEMORY:
            self._small += data
        else:
            self.flush()
            self._pass_on(data)

    def send(self, data: bytes) -> int:
        self.sendall(data)
        return len(data)

    def flush(self) -> None:
        """Send what was written, or keep what the client does not take. Raises `OSError` when it has gone."""
        if self._small:
            data = bytes(self._small)
            self._small.clear()
            self._pass_on(data)

    def send_kept(self) -> int:
        """Send what the client takes now; returns how many bytes."""
        assert self._kept is not None
        sent = self._send(self._kept.peek(IN_MEMORY))
        self._kept.read += sent
        if not self._kept.left:
            self.drop()
        return sent

    def end(self) -> None:
        """The answer is written: the next one does not wait for its reader."""
        self._waits = False
        self._wire.setblocking(False)

    def drop(self) -> None:
        """Forget what is kept."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _start_waiting(self) -> None:
        if not self._waits:
            self._waits = True
            self._wire.settimeout(None)
            self._wire.sendall(self._small)
            self._small.clear()

    def _pass_on(self, data: bytes) -> None:
        sent = 0 if self._kept else self._send(data)
        if sent == len(data):
            return
        if self._kept is None:
            self._kept = Spool(self._folder)
        self._kept.write(memoryview(data)[sent:])

    def _send(self, data: bytes) -> int:
        """What the socket takes at once."""
        sent = 0
        try:
            while sent < len(data):
                sent += self._wire.send(memoryview(data)[sent:])
        except BlockingIOError:
            pass  # its buffer is full
        return sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)
