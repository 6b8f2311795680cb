"""One line that shows how far a job is, in a terminal or a notebook."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TextIO

WIDTH = 30  # characters of the bar
PAUSE = 0.1  # seconds between two pictures


class Bar:
    """Drawn on standard error, again and again in the same line."""

    def __init__(self, is_shown: bool | None) -> None:
        """None: where somebody looks."""
        self._to: TextIO = sys.stderr
        self._is_shown = somebody_looks(self._to) if is_shown is None else is_shown
        self._begun, self._first = time.monotonic(), -1
        self._drawn, self._length = 0.0, 0

    def show(self, job: Mapping[str, Any]) -> None:
        if self._is_shown and time.monotonic() - self._drawn >= PAUSE:
            self._draw(job)

    def close(self, job: Mapping[str, Any]) -> None:
        if self._is_shown:
            self._draw(job)
            self._to.write("\n")
            self._to.flush()

    def _draw(self, job: Mapping[str, Any]) -> None:
        ended = _ended(job)
        if self._first < 0:
            self._first = ended
        self._drawn = time.monotonic()
        rate = (ended - self._first) / max(self._drawn - self._begun, 0.001)
        text = line(job, ended, rate)[: shutil.get_terminal_size().columns - 1]
        # Blanks instead of a control sequence, which notebooks would show.
        self._to.write("\r" + text.ljust(self._length))
        self._to.flush()
        self._length = len(text)


def somebody_looks(stream: TextIO) -> bool:
    """Whether the stream is a terminal, or this is a notebook."""
    shell = sys.modules.get("IPython")
    is_notebook = shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"
    return is_notebook or stream.isatty()


def line(job: Mapping[str, Any], ended: int, rate: float) -> str:
    """`━━━━──── 40/100  40% · 12/s · 3 failed · $0.12 · 0:05 left`."""
    total = job["total"]
    share = ended / total if total else 1.0
    full = int(share * WIDTH)
    parts = [f"{'━' * full}{'─' * (WIDTH - full)} {ended:,}/{total:,} {int(share * 100):3d}%"]
    if job["status"] not in ("running", "completed"):
        parts.append(job["status"])
    if rate and ended < total:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
    if failed := job["counts"].get("failed"):
        parts.append(f"{failed:,} failed")
    if job.get("cost") is not None:
        cost = Decimal(job["cost"])
        parts.append(f"${cost:.2f}" if cost >= 1 or not cost else f"${cost:.4f}")
    if rate and ended < total:
        parts.append(f"{_clock((total - ended) / rate)} left")
    return " · ".join(parts)


def _ended(job: Mapping[str, Any]) -> int:
    counts = job["counts"]
    return int(job["total"] - counts["pending"] - counts["running"])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
