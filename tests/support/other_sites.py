"""Sites besides ours: one with a page that a test has written, and a proxy that speaks TLS for ours."""

import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HEAD = """<!doctype html><html lang=en><title>A page</title>
<meta name=viewport content="width=device-width">"""


class _Planted(BaseHTTPRequestHandler):
    """`/` is the page that was written; `/broken` an internal error; nothing else is there."""

    body = policy = ""

    def do_GET(self) -> None:
        self.send_response({"/": 200, "/favicon.ico": 204, "/broken": 500}.get(self.path, 404))
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", self.policy)
        self.end_headers()
        if self.path == "/":
            self.wfile.write(f"{HEAD}{self.body}".encode())

    def log_message(self, *_: object) -> None:
        pass


class _Proxy(BaseHTTPRequestHandler):
    """Passes a request on, and says that it came over TLS."""

    protocol_version = "HTTP/1.1"
    port = 0

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        behind = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {**dict(self.headers.items()), "X-Forwarded-Proto": "https", "Connection": "close"}
        behind.request(self.command, self.path, body, headers)
        answer = behind.getresponse()
        content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        behind.close()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def planted(body: str, policy: str = "default-src 'self'") -> Iterator[str]:
    """The address of a page with this body."""
    with _serving(type("Planted", (_Planted,), {"body": body, "policy": policy})) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def behind_tls(port: int, context: ssl.SSLContext) -> Iterator[str]:
    """The address of a proxy for the server at this port."""
    with _serving(type("Proxy", (_Proxy,), {"port": port}), context) as own:
        yield f"https://127.0.0.1:{own}"


@contextmanager
def _serving(handler: Any, context: ssl.SSLContext | None = None) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
