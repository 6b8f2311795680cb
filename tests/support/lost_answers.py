"""Stands in front of a real server and loses answers: the request was served, and nobody hears of it."""

import socket
import socketserver
import threading
from contextlib import AbstractContextManager, suppress

from tests.support.tcp_proxy import AT_ONCE, TcpProxy, pass_on, running


class LossyProxy(TcpProxy):
    """The next `to_lose` answers are received from the server, and their connections cut."""

    def __init__(self, target: int) -> None:
        super().__init__(target, _Connection)
        self.to_lose = 0
        self.lost = 0


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        proxy: LossyProxy = self.server  # type: ignore[assignment]
        with socket.create_connection(proxy.target) as server:
            threading.Thread(target=self._pass_answers, args=(proxy, server), daemon=True).start()
            pass_on(self.request, server)

    def _pass_answers(self, proxy: LossyProxy, server: socket.socket) -> None:
        with suppress(OSError):
            while answer := server.recv(AT_ONCE):
                if proxy.to_lose:
                    proxy.to_lose -= 1
                    proxy.lost += 1
                    self.request.shutdown(socket.SHUT_RDWR)  # the other thread waits for it, too
                    return
                self.request.sendall(answer)


def lossy_proxy(target: int) -> AbstractContextManager[LossyProxy]:
    """A proxy in front of a port of this machine."""
    return running(LossyProxy(target))
