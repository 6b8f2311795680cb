"""A server that receives webhooks, on this machine, and answers as a test has told it to."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.servers import wait_until

LOOK = 0.02  # seconds; between two looks for its end


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes
    at: float  # time.time()


@dataclass
class Receiver:
    """What came, in `received`; `answer` is called for each to send a response."""

    url: str
    received: list[Received] = field(default_factory=list)
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    before: Callable[[], Any] | None = None  # called before the answer

    def wait_for(self, count: int, seconds: float = 20) -> list[Received]:
        wait_until(
            lambda: len(self.received) >= count,
            seconds=seconds,
            what=f"{count} webhooks have come; there are {len(self.received)}",
        )
        return self.received[:count]


@contextmanager
def receiving(**behaviour: Any) -> Iterator[Receiver]:
    """A receiver at an address of 127.0.0.1, by http."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.received.append(
                Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body, time.time())
            )
            if receiver.before is not None:
                receiver.before()
            self.send_response(receiver.status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(receiver.content)))
            self.end_headers()
            self.wfile.write(receiver.content)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # a sender connects to many at once

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hooks", **behaviour)
    thread = threading.Thread(target=server.serve_forever, args=(LOOK,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
