"""Stands in front of a real server and lets it fail: what it is told to fail never reaches that."""

import socket
import socketserver
import struct
import threading
from collections import deque
from contextlib import AbstractContextManager, suppress

from tests.support.tcp_proxy import AT_ONCE, TcpProxy, pass_on, running

RESET = b""  # an answer that is none: the connection is reset


class FailingProxy(TcpProxy):
    """Whatever contains `at` gets the next of `answers` instead of the server's, and its connection ends."""

    def __init__(self, target: int) -> None:
        super().__init__(target, _Connection)
        self.at = b""
        self.answers: deque[bytes] = deque()

    def fail(self, *answers: bytes, at: bytes = b"") -> None:
        self.answers, self.at = deque(answers), at


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        proxy: FailingProxy = self.server  # type: ignore[assignment]
        with socket.create_connection(proxy.target) as server, suppress(OSError):
            threading.Thread(target=pass_on, args=(server, self.request), daemon=True).start()
            while sent := self.request.recv(AT_ONCE):
                if proxy.at in sent and proxy.answers:
                    self._end_with(proxy.answers.popleft())
                    return
                server.sendall(sent)

    def _end_with(self, answer: bytes) -> None:
        if answer == RESET:
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()
        else:
            self.request.sendall(answer)


def failing_proxy(target: int) -> AbstractContextManager[FailingProxy]:
    """A proxy in front of a port of this machine."""
    return running(FailingProxy(target))
