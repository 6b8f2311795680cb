"""Ends every process of a stack whose supervisor was killed.

The keeper is a small process that reads from its standard input which groups to watch. While the supervisor
lives it does nothing; the supervisor's death, of whatever kind, ends that input. Then every group still on
the list gets SIGTERM, and SIGKILL `patience` later if it has not ended: including what a child has started
itself (the web's worker, beat), and on every system. This file runs as a program; it imports nothing of ours.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

LOOK = 0.1  # seconds


class Keeper:
    """The supervisor's side."""

    def __init__(self, patience: float) -> None:
        """Start the keeper; `patience` is in seconds, from SIGTERM to SIGKILL."""
        self._patience = patience
        self._groups: set[int] = set()
        self._start()

    def add(self, group: int) -> None:
        self._groups.add(group)
        self._tell(f"+{group}")

    def remove(self, group: int) -> None:
        self._groups.discard(group)
        self._tell(f"-{group}")

    def check(self) -> None:
        """Start another keeper if this one was killed."""
        if self._process.poll() is not None:
            self._start()

    def close(self) -> None:
        """Let the keeper end; it ends whatever is left on its list."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this file
            [sys.executable, "-I", "-S", __file__, str(self._patience), *map(str, self._groups)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `check` starts another one with the whole list
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()


def keep(patience: float, groups: set[int]) -> None:
    """The keeper's side."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    end(groups, patience)


def end(groups: set[int], patience: float) -> None:
    """SIGTERM to every group, and SIGKILL to what is left after `patience` seconds."""
    left = {group for group in groups if send(group, signal.SIGTERM)}
    deadline = time.monotonic() + patience
    while left and time.monotonic() < deadline:
        time.sleep(LOOK)
        left = {group for group in left if send(group, 0)}
    for group in left:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Send a signal to a process group; False when it no longer exists."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS rejects a group that has only zombies in it
        return False
    return True


if __name__ == "__main__":
    keep(float(sys.argv[1]), set(map(int, sys.argv[2:])))
