"""Processor time by process, from /proc: what a record costs, and whom."""

import os
from pathlib import Path
from typing import Any

TICK = os.sysconf("SC_CLK_TCK")


class Processes:
    """The processes of a running stack and of its servers, by what they do."""

    def __init__(self, made: Any) -> None:
        pids = [node.container._container.process.pid for node in made.nodes]
        self._parts = {"slices": pids[:-1], "control": pids[-1:]}

    def spent(self) -> dict[str, float]:
        """Seconds of processor time so far."""
        spent = {part: sum(map(_seconds, pids)) for part, pids in self._parts.items()}
        spent["database"] = sum(_seconds(pid) for pid in _named("postgres"))
        spent["redis"] = sum(_seconds(pid) for pid in _named("valkey-server", "redis-server"))
        return spent

    def since(self, before: dict[str, float]) -> dict[str, float]:
        return {part: seconds - before[part] for part, seconds in self.spent().items()}


def _seconds(pid: int) -> float:
    """User and system time of a process with those of its children that it has waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / TICK


def _named(*names: str) -> list[int]:
    """Processes of this machine by the name of their program: run a benchmark on a machine of its own."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                name = (folder / "comm").read_text().strip()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if any(name.startswith(wanted[:15]) for wanted in names):
                found.append(int(folder.name))
    return found
