"""What stands in front of a port of this machine and passes on; a proxy with faults says what it does not."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

AT_ONCE = 65_536  # bytes that are passed on at a time


class TcpProxy(socketserver.ThreadingTCPServer):
    """Serves each connection in a thread, as a handler of `handler` does with `target`."""

    daemon_threads = True

    def __init__(self, target: int, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.port = int(self.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.target = ("127.0.0.1", target)


AnyProxy = TypeVar("AnyProxy", bound=TcpProxy)


def pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while passing := source.recv(AT_ONCE):
            sink.sendall(passing)


@contextmanager
def running(proxy: AnyProxy) -> Iterator[AnyProxy]:
    with proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
