"""One process of the stack: started, checked, restarted, ended."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.stack import copies, keeper, tether

FIRST_DELAY = 1.0  # seconds until a child that died is restarted; doubles
LONGEST_DELAY = 30.0
LARGEST_LOG = 50_000_000  # bytes
WELL = 60.0  # seconds after which a child counts as healthy: the next delay is the first one again


@dataclass
class Child:
    """The command and the history of its process. `patience` is in seconds, from SIGTERM to SIGKILL."""

    name: str
    command: Sequence[str]
    log: Path
    patience: float
    inherits: Sequence[int] = ()  # file descriptors
    niceness: int = 0  # as `nice` takes it
    copied: bool = False  # run it, a module, in a fork of this process
    process: subprocess.Popen[bytes] | copies.Copy | None = None
    started_at: float = 0.0
    due_at: float | None = field(default=None)  # when it is restarted
    delay: float = FIRST_DELAY

    def start(self) -> int:
        """Start it in a process group of its own; returns the group."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = self._copy(log.fileno()) if self.copied else self._run(log.fileno())
        self.started_at, self.due_at = time.monotonic(), None
        return self.process.pid

    def _run(self, log: int) -> "subprocess.Popen[bytes]":
        tied = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), str(self.niceness)]
        return subprocess.Popen(  # noqa: S603 - our own command lines
            [*tied, *self.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=CODE,
            pass_fds=tuple(self.inherits),
            process_group=0,
        )

    def _copy(self, log: int) -> copies.Copy:
        return copies.Copy(
            self.command,
            folder=CODE,
            log=log,
            inherits=self.inherits,
            niceness=self.niceness,
        )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def age(self) -> float:
        return time.monotonic() - self.started_at

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send `number` to the process itself; it ends its own children in its own way."""
        if self.is_alive():
            assert self.process is not None
            self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it at once, with everything it has started."""
        if self.process is not None:
            keeper.send(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def put_off(self) -> float:
        """Schedule its restart after it died; returns the seconds until then."""
        wait = FIRST_DELAY if self.age >= WELL else self.delay
        self.delay = min(wait * 2, LONGEST_DELAY)
        self.due_at = time.monotonic() + wait
        return wait

    def keep_log_small(self) -> None:
        """Rotate a large log while the child keeps writing; a line written at that moment may be lost."""
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            shutil.copyfile(self.log, aside(self.log))
            os.truncate(self.log, 0)

    def ending(self) -> str:
        """How it ended, in words."""
        assert self.process is not None
        code = self.process.returncode or 0
        return f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.Signals(-code).name})"

    def last_words(self) -> str:
        """The last line of its log."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 4096))
            lines = log.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def rotate(log: Path) -> None:
    """Rotate the log of the previous start."""
    if log.exists():
        log.replace(aside(log))


def aside(log: Path) -> Path:
    return log.with_suffix(".log.1")


# Where `app`, `tasks` and `celeryconfig` are found: Celery and gunicorn put their working directory first on
# the path, and the user's directory may contain modules with these names.
CODE = Path(__file__).parents[2]
