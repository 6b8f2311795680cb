"""Every process of a Penstock in production, as its operator starts them, and what they write."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from app.stack import commands
from app.stack.listen import address, listen
from tests.support.forked_processes import Forked
from tests.support.servers import free_port, wait_until

ROOT = Path(__file__).parents[2]
CELERY = ["celery", "--app", "tasks"]

Line = dict[str, Any]


class Production:
    """Web, slice worker, control worker, beat and Flower; each writes to a file of its own."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._folder = folder
        self._environment = {**os.environ, **environment, "API_ENV": "production", "PYTHONUNBUFFERED": "1"}
        self.processes: dict[str, subprocess.Popen[bytes] | Forked] = {}
        flower = "--address=127.0.0.1", f"--port={free_port()}"
        self._serve()
        self._run("slices", commands.slice_worker(1))
        self._run("control", [word for word in commands.control_worker() if word != "--beat"])
        self._run("beat", [*CELERY, "beat"])
        self._run("flower", [*CELERY, "flower", *flower])

    def _serve(self) -> None:
        with listen("127.0.0.1", 0) as listener, self._file("web").open("wb") as log:
            self.url = address(listener)
            self.processes["web"] = subprocess.Popen(
                commands.web(listener.fileno(), 1, 40),
                env=self._environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
            )

    def _run(self, name: str, command: Sequence[str]) -> None:
        self._file(name).touch()
        arguments = command[command.index("celery") + 1 :]
        self.processes[name] = Forked("celery", arguments, ROOT, self._environment, self._file(name))

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.get("/ready") == 200, seconds=60, what="the web is ready")
        for name in ("slices", "control"):
            self.wait_for(name, lambda line: line["event"].endswith(" ready."), seconds=60)
        self.wait_for("flower", lambda line: line["event"].startswith("Visit me at"), seconds=60)

    def get(self, path: str, key: str = "", **headers: str) -> int:
        """The status of an answer; 0 where there is none."""
        try:
            sent = headers | ({"X-API-Key": key} if key else {})
            return httpx2.get(self.url + path, headers=sent, timeout=8, trust_env=False).status_code
        except httpx2.TransportError:
            return 0

    def lines(self, name: str) -> list[Line]:
        """What the process has written; a line that is no JSON fails the test."""
        return read(self._file(name))

    def wait_for(self, name: str, fits: Any, seconds: float = 30) -> Line:
        wait_until(
            lambda: any(fits(line) for line in self.lines(name)),
            seconds=seconds,
            what=f"a line of {name}; it has {self._file(name).read_text()[-3000:]}",
        )
        return next(line for line in self.lines(name) if fits(line))

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.log"


@contextmanager
def in_production(environment: dict[str, str], folder: Path) -> Iterator[Production]:
    made = Production(environment, folder)
    try:
        yield made
    finally:
        made.stop()


def read(log: Path) -> list[Line]:
    """The lines of a log; one that is no JSON, or without its fields, fails the test."""
    return [_read(log.stem, line) for line in log.read_text().splitlines()]


def _read(name: str, line: str) -> Line:
    try:
        found = json.loads(line)
    except ValueError:
        raise AssertionError(f"{name} wrote a line that is no JSON: {line!r}") from None
    assert isinstance(found, dict), line
    missing = {"at", "level", "event", "logger"} - found.keys()
    assert not missing, f"{name} wrote a line without {missing}: {line}"
    return found
