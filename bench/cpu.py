"""Processor time and memory by process, from /proc: what a record costs, and whom."""

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.support.commands import family

TICK = os.sysconf("SC_CLK_TCK")

# The processes of a stack by a word of their command lines; the first that fits.
PARTS = {
    "gunicorn": "web",
    "--queues slices": "slices",
    "--queues control": "control",
    "celery beat": "control",
    "valkey": "redis",
}


class Processes:
    """The processes of a running stack and of its database, by what they do."""

    def __init__(self, pid: int, database: str) -> None:
        self._root = pid
        self._cluster = parse_qs(urlsplit(database).query).get("host", [""])[0]

    def found(self) -> dict[str, list[int]]:
        pids: dict[str, list[int]] = defaultdict(list, other=[self._root])
        for pid, line in family(self._root).items():
            part = next((part for word, part in PARTS.items() if word in line), "other")
            pids[part].append(pid)
        pids["database"] = _all(self._serves_the_database)
        return pids

    def spent(self) -> dict[str, float]:
        """Seconds of processor time so far."""
        return {part: sum(map(_seconds, pids)) for part, pids in self.found().items()}

    def since(self, before: dict[str, float]) -> dict[str, float]:
        return {part: seconds - before.get(part, 0.0) for part, seconds in self.spent().items()}

    def memory(self) -> dict[str, list[int]]:
        """Bytes that each process alone has, shared pages left out, and swapped ones counted."""
        return {part: [_private(pid) for pid in pids] for part, pids in self.found().items()}

    def _serves_the_database(self, process: Path) -> bool:
        """A PostgreSQL's processes work in its folder; SQLite works in the workers."""
        return bool(self._cluster) and str((process / "cwd").readlink()).startswith(self._cluster)


def _seconds(pid: int) -> float:
    """User and system time of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:13])) / TICK


def _private(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = dict(line.split(":", 1) for line in lines[1:])
    return sum(int(fields[name].split()[0]) * 1024 for name in ("Private_Clean", "Private_Dirty", "Swap"))


def _all(wanted: Callable[[Path], bool]) -> list[int]:
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
