"""Stands in front of a real server and lets it fail: what it is told to fail never reaches that."""

import socket
import socketserver
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

RESET = b""  # an answer that is none: the connection is reset
AT_ONCE = 65_536  # bytes that are passed on at a time


class FailingProxy(socketserver.ThreadingTCPServer):
    """Whatever contains `at` gets the next of `answers` instead of the server's, and its connection ends."""

    daemon_threads = True

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.port = int(self.server_address[1])
        self.target = ("127.0.0.1", target)
        self.at = b""
        self.answers: deque[bytes] = deque()

    def fail(self, *answers: bytes, at: bytes = b"") -> None:
        self.answers, self.at = deque(answers), at


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        proxy: FailingProxy = self.server  # type: ignore[assignment]
        with socket.create_connection(proxy.target) as server, suppress(OSError):
            threading.Thread(target=_pass_on, args=(server, self.request), daemon=True).start()
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


def _pass_on(server: socket.socket, client: socket.socket) -> None:
    with suppress(OSError):
        while answer := server.recv(AT_ONCE):
            client.sendall(answer)


@contextmanager
def failing_proxy(target: int) -> Iterator[FailingProxy]:
    """A proxy in front of a port of this machine."""
    with FailingProxy(target) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
