"""The front door as gunicorn serves it: one web process with few threads, on a test's own database."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.support.servers import free_port, wait_until


class WebProcess:
    """A running web process. `threads` is at least 40, of which 32 are kept free of streams."""

    def __init__(self, environment: dict[str, str], folder: Path, threads: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"web-{self.port}.log"
        command = [sys.executable, "-m", "gunicorn", "app.factory:create_app()"]
        command += ["--bind", f"127.0.0.1:{self.port}", "--worker-class", "app.server.worker.Worker"]
        command += ["--threads", str(threads), "--graceful-timeout", "30", "--no-control-socket"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **environment, "PENSTOCK_WEB_THREADS": str(threads)},
                stdout=log,
                stderr=log,
            )

    def answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/health", timeout=2, trust_env=False).is_success
        except httpx2.TransportError:
            return False

    def get(self, path: str, key: str) -> httpx2.Response:
        """An ordinary caller's request, which gives up after some seconds."""
        return httpx2.get(self.url + path, headers={"X-API-Key": key}, timeout=8, trust_env=False)

    def connect(self, sent: bytes = b"", timeout: float = 10) -> socket.socket:
        """A connection on which this was sent."""
        wire = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        wire.sendall(sent)
        return wire

    def resident(self) -> int:
        """Bytes of memory that the worker process holds."""
        pages = int(Path(f"/proc/{self.worker}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def worker(self) -> int:
        """The number of the process that serves."""
        [child] = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(child)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        finally:
            self.process.kill()


@contextmanager
def web_process(environment: dict[str, str], folder: Path, threads: int = 64) -> Iterator[WebProcess]:
    server = WebProcess(environment, folder, threads)
    try:
        wait_until(server.answers, what="gunicorn answers")
        yield server
    finally:
        server.stop()


def response(wire: socket.socket) -> tuple[bytes, bytes]:
    """The head and the body of the next response that has a length."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = wire.recv(65_536)
        assert piece, f"the connection ended after {received!r}"
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields.get(b"content-length", 0)):
        body += wire.recv(65_536)
    return head, body


def everything(wire: socket.socket) -> bytes:
    """All that comes until the server closes."""
    received = b""
    while piece := wire.recv(65_536):
        received += piece
    return received
