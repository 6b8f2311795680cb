"""What this service's web processes use of their machine."""

import os
import threading
import time
from dataclasses import dataclass

import psutil

from config.once import once

FIRST_SAMPLE = 0.1  # seconds; processor time is measured between two samples


@dataclass(frozen=True, slots=True)
class Resources:
    """Use by the web's process group on this machine. 100 % is a core; a megabyte is a million bytes."""

    cpu_percent: float
    memory_mb: float
    gpu_percent: float | None  # of the machine's first GPU; None where there is none


class Group:
    """The process group of this process, with its members as of the last sample."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._lock = threading.Lock()

    def sample(self) -> Resources:
        with self._lock:
            if self._update_members():
                time.sleep(FIRST_SAMPLE)
            samples = [taken for process in self._known.values() if (taken := _sample(process)) is not None]
        cpu, memory = (sum(values) for values in zip(*samples, strict=True))
        return Resources(round(cpu, 1), round(memory / 1e6, 1), _gpu_percent())

    def _update_members(self) -> bool:
        """Find the present members; returns whether one is new, whose first sample measures nothing."""
        own = os.getpgrp()
        members = {pid for pid in psutil.pids() if _group_of(pid) == own}
        new = members - self._known.keys()
        self._known = {pid: self._known.get(pid) or psutil.Process(pid) for pid in members}
        for pid in new:
            _sample(self._known[pid])
        return bool(new)


def _sample(process: psutil.Process) -> tuple[float, int] | None:
    """Processor time in percent since the last sample, and bytes of memory; None when it has just ended."""
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
    """From NVML, where its bindings (the package nvidia-ml-py) and a GPU are present."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return float(pynvml.nvmlDeviceGetUtilizationRates(pynvml.nvmlDeviceGetHandleByIndex(0)).gpu)
    except pynvml.NVMLError:
        return None


@once
def group() -> Group:
    """The process group of this process."""
    return Group()
