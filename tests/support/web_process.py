"""The front door as gunicorn serves it: one web process, whose use of processor and memory is known."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil

from app.stack import commands
from app.stack.listen import address, listen
from tests.support.servers import wait_until

GRACE = 30  # seconds: longer than any test waits for a server that should have ended by itself


class WebProcess:
    """A web process with the flags of `penstock up`; `log` is the file of what it wrote.

    `threads` is at least 40, of which 32 are kept free of streams.
    """

    def __init__(self, environment: dict[str, str], folder: Path, threads: int) -> None:
        self.log = folder / "web.log"
        with listen("127.0.0.1", 0) as listener, self.log.open("wb") as log:
            self.url, self.port = address(listener), listener.getsockname()[1]
            self.process = subprocess.Popen(
                [*commands.web(listener.fileno(), 1, threads), "--graceful-timeout", str(GRACE)],
                env={**os.environ, **environment, "PENSTOCK_WEB_THREADS": str(threads)},
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
            )

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx2.get(f"{self.url}/health", timeout=5, trust_env=False).is_success
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

    @property
    def worker(self) -> psutil.Process:
        """The process that serves."""
        [worker] = psutil.Process(self.process.pid).children()
        return worker

    def processor_seconds(self) -> float:
        """Processor time of the worker so far, with that of its children, living and ended."""
        total = 0.0
        for process in (self.worker, *self.worker.children(recursive=True)):
            try:
                total += sum(process.cpu_times()[:4])  # of itself and of its ended children
            except psutil.NoSuchProcess:
                pass  # it has just ended, and is counted by its parent
        return total

    def resident_bytes(self) -> int:
        """Memory of the worker now."""
        return int(self.worker.memory_info().rss)

    def forget_peak(self) -> None:
        """Let `peak_bytes` begin anew."""
        Path(f"/proc/{self.worker.pid}/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """The most memory that the worker has held since `forget_peak`."""
        status = Path(f"/proc/{self.worker.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        finally:
            self.process.kill()


@contextmanager
def web_process(environment: dict[str, str], folder: Path, threads: int = 64) -> Iterator[WebProcess]:
    """A web process that answers, until the end of the block."""
    web = WebProcess(environment, folder, threads)
    try:
        wait_until(web.answers, what="the web process answers")
        yield web
    finally:
        web.stop()


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
