"""The front door as gunicorn serves it: a process whose use of processor and memory is known."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil

from app.stack import commands
from app.stack.listen import address, listen
from tests.support.servers import wait_until

THREADS = 64


class WebProcess:
    """One web process with the flags of `penstock up`; `log` is the file of what it wrote."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.log = folder / "web.log"
        with listen("127.0.0.1", 0) as listener, self.log.open("wb") as log:
            self.url = address(listener)
            self._server = subprocess.Popen(
                commands.web(listener.fileno(), 1, THREADS),
                env={**os.environ, **environment, "PENSTOCK_WEB_THREADS": str(THREADS)},
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
            )

    def answers(self) -> bool:
        assert self._server.poll() is None, self.log.read_text()
        try:
            return httpx2.get(f"{self.url}/health", timeout=5, trust_env=False).is_success
        except httpx2.TransportError:
            return False

    def processor_seconds(self) -> float:
        """Processor time of the worker so far, with that of its children, living and ended."""
        worker = self._worker()
        total = 0.0
        for process in (worker, *worker.children(recursive=True)):
            try:
                total += sum(process.cpu_times()[:4])  # of itself and of its ended children
            except psutil.NoSuchProcess:
                pass  # it has just ended, and is counted by its parent
        return total

    def resident_bytes(self) -> int:
        """Memory of the worker now."""
        return int(self._worker().memory_info().rss)

    def forget_peak(self) -> None:
        """Let `peak_bytes` begin anew."""
        Path(f"/proc/{self._worker().pid}/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """The most memory that the worker has held since `forget_peak`."""
        status = Path(f"/proc/{self._worker().pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    def stop(self) -> None:
        if self._server.poll() is None:
            self._server.send_signal(signal.SIGTERM)
        try:
            self._server.wait(20)
        finally:
            self._server.kill()

    def _worker(self) -> psutil.Process:
        [worker] = psutil.Process(self._server.pid).children()
        return worker


@contextmanager
def web_process(environment: dict[str, str], folder: Path) -> Iterator[WebProcess]:
    """A web process that answers, until the end of the block."""
    web = WebProcess(environment, folder)
    try:
        wait_until(web.answers, what="the web process answers")
        yield web
    finally:
        web.stop()
