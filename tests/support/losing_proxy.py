"""Stands in front of a real server and loses answers to requests that have arrived."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

AT_ONCE = 65_536  # bytes that are passed on at a time


class LosingProxy(socketserver.ThreadingTCPServer):
    """The next answers are lost, as many as `lose` was told: their connections end instead."""

    daemon_threads = True

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.port = int(self.server_address[1])
        self.target = ("127.0.0.1", target)
        self.lost = 0
        self._to_lose = 0

    def lose(self, answers: int) -> None:
        self._to_lose = answers

    def loses_this(self) -> bool:
        loses = self.lost < self._to_lose
        self.lost += loses
        return loses


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        proxy: LosingProxy = self.server  # type: ignore[assignment]
        with socket.create_connection(proxy.target) as server, suppress(OSError):
            threading.Thread(target=_pass_on, args=(self.request, server), daemon=True).start()
            while answer := server.recv(AT_ONCE):
                if proxy.loses_this():
                    self.request.shutdown(socket.SHUT_RDWR)
                    return
                self.request.sendall(answer)


def _pass_on(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while sent := client.recv(AT_ONCE):
            server.sendall(sent)


@contextmanager
def losing_answers(target: int) -> Iterator[LosingProxy]:
    """A proxy in front of a port of this machine."""
    with LosingProxy(target) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
