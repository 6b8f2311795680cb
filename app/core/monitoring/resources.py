"""What the processes that answer here take of their machine."""

import os
import threading
import time
from dataclasses import dataclass
from functools import cache

import psutil

FIRST_LOOK = 0.1  # seconds; a share of processor time is one between two looks


@dataclass(frozen=True, slots=True)
class Resources:
    """Of one process group: the web's on this machine. 100 % is a core; a megabyte is a million bytes."""

    cpu_percent: float
    memory_mb: float
    gpu_percent: float | None  # of the machine's first GPU; None where there is none


class Group:
    """The process group of this process, and its members as they were looked at last."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._lock = threading.Lock()

    def look(self) -> Resources:
        with self._lock:
            if self._meet_new_members():
                time.sleep(FIRST_LOOK)
            looks = [found for process in self._known.values() if (found := _look(process)) is not None]
        cpu, memory = (sum(values) for values in zip(*looks, strict=True))
        return Resources(round(cpu, 1), round(memory / 1e6, 1), _gpu_percent())

    def _meet_new_members(self) -> bool:
        """Know the members of now; whether one of them is new, whose first look is at nothing."""
        own = os.getpgrp()
        members = {pid for pid in psutil.pids() if _group_of(pid) == own}
        new = members - self._known.keys()
        self._known = {pid: self._known.get(pid) or psutil.Process(pid) for pid in members}
        for pid in new:
            _look(self._known[pid])
        return bool(new)


def _look(process: psutil.Process) -> tuple[float, int] | None:
    """Processor time in percent since the last look, and bytes of memory; None when it has just ended."""
    try:
        return process.cpu_percent(), process.memory_info().rss
    except psutil.Error:
        return None


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _gpu_percent() -> float | None:
    """By NVML, where its bindings (the package nvidia-ml-py) and a GPU are there."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return float(pynvml.nvmlDeviceGetUtilizationRates(pynvml.nvmlDeviceGetHandleByIndex(0)).gpu)
    except pynvml.NVMLError:
        return None


@cache
def group() -> Group:
    """That of this process."""
    return Group()
