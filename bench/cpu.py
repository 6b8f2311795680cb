"""Processor time by process, from /proc: what a record costs, and whom."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

TICK = os.sysconf("SC_CLK_TCK")


class Processes:
    """The processes of a running stack and of its servers, by what they do."""

    def __init__(self, made: Any) -> None:
        pids = [node.container._container.process.pid for node in made.nodes]
        self._workers = {"slices": pids[:-1], "control": pids[-1:]}
        self._port = str(urlsplit(made.environment["REDIS_URL"]).port)
        self._cluster = parse_qs(urlsplit(made.environment["DATABASE_URL"]).query).get("host", [""])[0]

    def spent(self) -> dict[str, float]:
        """Seconds of processor time so far."""
        return {
            **{part: sum(map(_seconds, pids)) for part, pids in self._workers.items()},
            "database": sum(map(_seconds, _found(self._serves_the_database))),
            "redis": sum(map(_seconds, _found(self._is_redis))),
        }

    def since(self, before: dict[str, float]) -> dict[str, float]:
        return {part: seconds - before[part] for part, seconds in self.spent().items()}

    def _serves_the_database(self, process: Path) -> bool:
        """A PostgreSQL's processes work in its folder; SQLite works in the workers."""
        return bool(self._cluster) and str((process / "cwd").readlink()).startswith(self._cluster)

    def _is_redis(self, process: Path) -> bool:
        words = (process / "cmdline").read_bytes().split(b"\0")
        return b"-server" in words[0] and any(self._port.encode() in word for word in words)


def _seconds(pid: int) -> float:
    """User and system time of a process with those of its children that it has waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / TICK


def _found(wanted: Callable[[Path], bool]) -> list[int]:
    """The processes of this machine that are `wanted`."""
    pids = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if wanted(process):
                    pids.append(int(process.name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it has ended, or is the kernel's
    return pids
