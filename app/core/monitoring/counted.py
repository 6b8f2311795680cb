"""What all processes have counted, and what the living ones say of themselves."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from app.core.measures import metrics, sharing
from app.core.measures.counts import SUM, TOTAL, Series
from app.core.measures.metrics import Kind, Metric
from app.core.monitoring.samples import Distribution, Sample

_BY_NAME = {metric.name: metric for metric in metrics.COUNTED}


def read() -> list[Sample | Distribution]:
    """Raises `redis.RedisError`."""
    return [*_counts(sharing.read_counts()), *_processes()]


def _counts(numbers: Mapping[Series, float]) -> Iterator[Sample | Distribution]:
    """What a release beside this one counts and this one does not know is left out."""
    by_series: dict[tuple[Metric, tuple[str, ...]], dict[str, float]] = defaultdict(dict)
    for metric in metrics.COUNTED:
        if metric.kind is Kind.COUNTER and not metric.labels:
            by_series[metric, ()][TOTAL] = 0.0  # so that the first one is an increase
    for series, number in numbers.items():
        known = _BY_NAME.get(series.metric)
        if known is not None and len(series.labels) == len(known.labels):
            by_series[known, series.labels][series.part] = number
    for (metric, labels), parts in by_series.items():
        if metric.kind is Kind.COUNTER:
            yield Sample(metric, parts.get(TOTAL, 0.0), labels)
        else:
            found = [parts.get(str(bucket), 0.0) for bucket in range(len(metric.buckets) + 1)]
            yield Distribution(metric, found, parts.get(SUM, 0.0), labels)


def _processes() -> Iterator[Sample]:
    by_role: dict[str, list[sharing.Standing]] = defaultdict(list)
    for process in sharing.read_processes():
        by_role[process.role].append(process)
    for role, processes in by_role.items():
        yield Sample(metrics.PROCESSES, len(processes), (role,))
        yield Sample(metrics.MEMORY, max(process.memory for process in processes), (role,))
        bounded = [process.memory_use for process in processes if process.memory_use is not None]
        if bounded:
            yield Sample(metrics.MEMORY_USE, max(bounded), (role,))
        for state in ("in_use", "open", "most"):
            number = sum(getattr(process, state) for process in processes)
            yield Sample(metrics.POOL, number, (role, state))
