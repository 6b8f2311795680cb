"""Penstock's commands as processes, as a user starts them."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import httpx2
import psutil

from tests.support.servers import wait_until

READY_SECONDS = 90
EMBEDDED = {"DATABASE_URL": "", "REDIS_URL": "", "CELERY_BROKER_URL": ""}  # empty is unset


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def family(pid: int) -> dict[int, str]:
    """The command lines of every process below `pid`."""
    found: dict[int, str] = {}
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found[child.pid] = " ".join(child.cmdline())
    return found


def open_to_others(folder: Path) -> list[Path]:
    """The folder and what is in it, as far as other users could read, write or enter it."""
    return [path for path in (folder, *folder.rglob("*")) if path.lstat().st_mode & 0o077]


class Command:
    """A running command; its output goes to a file, so it never waits for a reader."""

    def __init__(self, arguments: Sequence[str], data: Path, **environment: str) -> None:
        self.data = data
        self.output = data.parent / f"{data.name}-{arguments[0]}-{os.urandom(4).hex()}.out"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", *arguments],
                env=os.environ | {"PENSTOCK_DATA": str(data)} | EMBEDDED | environment,
                **self._streams(output),
                start_new_session=True,
                umask=0o022,  # as most shells have it
            )

    def _streams(self, output: IO[bytes]) -> dict[str, Any]:
        return {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}

    @property
    def said(self) -> str:
        return self.output.read_text()

    def says(self, text: str, seconds: float = 30) -> None:
        wait_until(
            lambda: text in self.said or self.process.poll() is not None,
            seconds=seconds,
            what=f"{text!r} is said in:\n{self.said}",
        )
        assert text in self.said, self.said

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def ends(self, seconds: float = 60) -> int:
        return self.process.wait(seconds)

    def family(self) -> dict[int, str]:
        return family(self.process.pid)

    def clear_away(self) -> None:
        """At the end of a test, whatever has become of it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class TerminalCommand(Command):
    """A command that a person types in a terminal and may answer."""

    def __init__(self, arguments: Sequence[str], data: Path, **environment: str) -> None:
        self._terminal, self._ours = os.openpty()
        super().__init__(arguments, data, **environment)

    def _streams(self, output: IO[bytes]) -> dict[str, Any]:
        """Standard output goes to the file, as with `>`: what is asked and told is on standard error."""
        return {"stdin": self._ours, "stdout": output, "stderr": self._ours}

    @property
    def said(self) -> str:
        """What has appeared on the terminal."""
        with suppress(BlockingIOError, OSError):  # a terminal whose other end is closed gives an error
            os.set_blocking(self._terminal, False)
            while piece := os.read(self._terminal, 65_536):
                with self.output.open("ab") as seen:
                    seen.write(piece)
        return self.output.read_text()

    def types(self, line: str) -> None:
        os.write(self._terminal, f"{line}\n".encode())

    def ends(self, seconds: float = 60) -> int:
        """Reads on meanwhile: who writes to a full terminal waits."""
        wait_until(
            lambda: self.said is None or self.process.poll() is not None, seconds=seconds, what="it ends"
        )
        return self.process.wait()

    def clear_away(self) -> None:
        super().clear_away()
        os.close(self._terminal)
        os.close(self._ours)


class Stack(Command):
    """A running `penstock up`."""

    def __init__(self, data: Path, *options: str, **environment: str) -> None:
        super().__init__(["up", "--port", "0", "--workers", "1", *options], data, **environment)

    def is_ready(self) -> "Stack":
        self.says("ready after", READY_SECONDS)
        return self

    @property
    def address(self) -> str:
        found = re.search(r"http://\S+", self.said)
        assert found, self.said
        return found[0]

    def client(self) -> httpx2.Client:
        key = (self.data / "api-key").read_text().strip()
        return httpx2.Client(base_url=f"{self.address}/api/v1", headers={"X-API-Key": key}, timeout=30)

    def pid_of(self, name: str) -> int:
        """The process of the child with this node name: `slice1`, `control`; or `web`, `broker`."""
        word = {"web": "gunicorn", "broker": "valkey-server"}.get(name, f"--hostname {name}@")
        return min(pid for pid, command in self.family().items() if word in command)

    def told(self) -> dict[str, object]:
        """What the stack says about itself to other commands."""
        told: dict[str, object] = json.loads((self.data / "up.lock").read_text())
        return told
