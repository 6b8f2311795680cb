"""What this process has counted and not handed over yet. To count takes about a microsecond."""

import math
import os
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from app.core.measures.metrics import Kind, Metric

MAX_SERIES = 1_000  # of a metric in one process; what comes later is counted under OTHER
OTHER = "other"
SUM, TOTAL = "sum", ""  # parts of a histogram besides its buckets; the one part of a counter


class Series(NamedTuple):
    """One number that only grows: a counter, the sum of a histogram, or one of its buckets."""

    metric: str
    labels: tuple[str, ...]
    part: str = TOTAL  # of a histogram: SUM, or the upper bound of a bucket


class Counts:
    """Any thread may count. A fork starts with nothing, as its parent hands over what it has counted."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._lock = threading.Lock()
        # By metric and labels: a counter's number, or how many are in each bucket and, last, their sum.
        self._cells: dict[tuple[str, tuple[str, ...]], list[float]] = {}
        self._known: Counter[str] = Counter()  # series of each metric
        self._parts: dict[str, Sequence[str]] = {}  # what the numbers of its cells are, by metric

    def add(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Count `by` more of a counter, whose `labels` are in the order of their names."""
        with self._lock:
            cell = self._cells.get((metric.name, labels)) or self._cell(metric, labels)
            cell[0] += by

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Count one `value` of a histogram, in its unit."""
        bucket = bisect_left(metric.buckets, value)
        with self._lock:
            cell = self._cells.get((metric.name, labels)) or self._cell(metric, labels)
            cell[bucket] += 1
            cell[-1] += value

    def take(self) -> dict[Series, float]:
        """What was counted since the last call."""
        taken = {}
        with self._lock:
            for (name, labels), cell in self._cells.items():
                for place, number in enumerate(cell):
                    if number:
                        taken[Series(name, labels, self._parts[name][place])] = number
                        cell[place] = 0.0
        return taken

    def _cell(self, metric: Metric, labels: tuple[str, ...]) -> list[float]:
        """A new series; OTHER for all of its labels once the metric has too many: callers choose some."""
        if self._known[metric.name] >= MAX_SERIES:
            labels = (OTHER,) * len(labels)
        else:
            self._known[metric.name] += 1
        parts = self._parts.setdefault(metric.name, _parts(metric))
        return self._cells.setdefault((metric.name, labels), [0.0] * len(parts))


def _parts(metric: Metric) -> Sequence[str]:
    if metric.kind is not Kind.HISTOGRAM:
        return (TOTAL,)
    return (*(str(float(bound)) for bound in metric.buckets), str(math.inf), SUM)


counts = Counts()
os.register_at_fork(after_in_child=counts.reset)
