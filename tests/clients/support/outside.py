"""Notes what a client asks for outside this machine, and refuses it.

Clients are told of it as their proxy. It opens no connection, so they do without what they wanted.
"""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

REFUSAL = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Outside(socketserver.ThreadingTCPServer):
    """`wanted` are the hosts that were asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.wanted: set[str] = set()


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        outside: Outside = self.server  # type: ignore[assignment]
        # `CONNECT host:443 HTTP/1.1`, or `GET http://host/path HTTP/1.1`
        words = self.rfile.readline().decode("latin-1").split()
        if len(words) == 3:
            outside.wanted.add(words[1].partition("://")[2].split("/")[0] or words[1].rpartition(":")[0])
        self.wfile.write(REFUSAL)


@contextmanager
def outside() -> Iterator[Outside]:
    with Outside() as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
