"""The stack that runs on a data directory.

`up.lock` is held by the process of `penstock up` and contains its pid and address. `processes.lock` is
inherited by every process that it starts, so it is free only when the last of them has ended: after a kill -9
the next stack waits for that before it touches the broker's files.
"""

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from app.errors import Conflict

LOOK = 0.05  # seconds between two attempts to take a lock


@dataclass(frozen=True, slots=True)
class Running:
    """What a stack publishes about itself; only its owner may read it, because `redis_url` contains a
    password.
    """

    pid: int
    address: str = ""  # unknown while it waits for an earlier stack to end
    redis_url: str = ""
    asks_claude: bool = False  # whether a real model could be asked by default when it started
    ready: bool = False
    attached: bool = False  # it ends with the command that started it


class Lock:
    """A data directory, held by this process until it ends."""

    def __init__(self, data: Path) -> None:
        """Take `data`; raises `Conflict` with the other's pid if a stack runs on it."""
        data.mkdir(parents=True, exist_ok=True)
        self._path = data / "up.lock"
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _locked(self._fd, seconds=0.5):  # a process that only checks releases it at once
            other = holder(data)
            who = f"process {other.pid} {other.address}".strip() if other else "it is just stopping"
            raise Conflict(
                f"a stack is already running on {data} ({who}): stop it, or choose another directory with"
                " --data"
            )
        self.tell(Running(os.getpid()))
        self.processes = os.open(data / "processes.lock", os.O_RDWR | os.O_CREAT, 0o600)

    def wait_for_the_last(self, seconds: float) -> None:
        """Wait until no process of an earlier stack is left; raises `Conflict` when one stays."""
        if not _locked(self.processes, seconds=seconds):
            raise Conflict(
                f"processes of an earlier stack still hold {self._path.parent} after {seconds:.0f} s: end"
                " them (`fuser` on its processes.lock lists them), then start again"
            )

    def is_clear(self) -> bool:
        """Whether the last process of an earlier stack has ended; if so, this process has the lock to pass
        on.
        """
        return _locked(self.processes, seconds=0)

    def tell(self, running: Running) -> None:
        text = json.dumps(asdict(running)).encode()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text, 0)


def holder(data: Path) -> Running | None:
    """The stack running on `data`, if there is one and it has published its address."""
    try:
        fd = os.open(data / "up.lock", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return None if _locked(fd, seconds=0) else _told(fd)
    finally:
        os.close(fd)


def _told(fd: int) -> Running | None:
    """The holder's data; it may be in the middle of writing it."""
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        try:
            return Running(**json.loads(os.pread(fd, 4096, 0)))
        except (ValueError, TypeError):
            time.sleep(LOOK)
    return None


def _locked(fd: int, *, seconds: float) -> bool:
    """Try for `seconds` to lock `fd`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK)
        else:
            return True
