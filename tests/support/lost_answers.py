"""Stands in front of a real server and loses answers: the request was served, and nobody hears of it."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

AT_ONCE = 65_536  # bytes that are passed on at a time


class LossyProxy(socketserver.ThreadingTCPServer):
    """The next `to_lose` answers are received from the server, and their connections cut."""

    daemon_threads = True

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.target = ("127.0.0.1", target)
        self.to_lose = 0
        self.lost = 0


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        proxy: LossyProxy = self.server  # type: ignore[assignment]
        with socket.create_connection(proxy.target) as server, suppress(OSError):
            threading.Thread(target=self._pass_answers, args=(proxy, server), daemon=True).start()
            while sent := self.request.recv(AT_ONCE):
                server.sendall(sent)

    def _pass_answers(self, proxy: LossyProxy, server: socket.socket) -> None:
        with suppress(OSError):
            while answer := server.recv(AT_ONCE):
                if proxy.to_lose:
                    proxy.to_lose -= 1
                    proxy.lost += 1
                    self.request.shutdown(socket.SHUT_RDWR)  # the other thread waits for it, too
                    return
                self.request.sendall(answer)


@contextmanager
def lossy_proxy(target: int) -> Iterator[LossyProxy]:
    """A proxy in front of a port of this machine."""
    with LossyProxy(target) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
