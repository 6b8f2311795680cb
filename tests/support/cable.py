"""The line between a browser and a server, as it is on the road: it breaks, or falls silent."""

import socket
import socketserver
import threading
from contextlib import AbstractContextManager, suppress

from tests.support.tcp_proxy import AT_ONCE, TcpProxy, running


class Cable(TcpProxy):
    def __init__(self, target: int) -> None:
        super().__init__(target, _Connection)
        self.is_cut = False
        self.connections: set[_Connection] = set()

    def cut(self) -> None:
        """End every connection, and let no other begin until it is mended."""
        self.is_cut = True
        for connection in list(self.connections):
            connection.close()

    def mend(self) -> None:
        self.is_cut = False

    def silence(self) -> None:
        """Nothing gets through the connections that are there, and nobody is told; others may begin."""
        for connection in list(self.connections):
            connection.is_silent = True


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        cable: Cable = self.server  # type: ignore[assignment]
        self.is_silent = False
        if cable.is_cut:
            return
        with socket.create_connection(cable.target) as self.server_side:
            cable.connections.add(self)
            back = threading.Thread(target=self._pass, args=(self.server_side, self.request), daemon=True)
            back.start()
            self._pass(self.request, self.server_side)
            back.join()
            cable.connections.discard(self)

    def close(self) -> None:
        for side in (self.request, self.server_side):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while passing := source.recv(AT_ONCE):
                if not self.is_silent:
                    sink.sendall(passing)
        self.close()


def cable(target: int) -> AbstractContextManager[Cable]:
    """A cable to a port of this machine."""
    return running(Cable(target))
