"""What all processes have counted, and what the living ones say of themselves."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from app.core.measures import metrics, sharing
from app.core.measures.counts import SUM, TOTAL, Series
from app.core.measures.metrics import Kind, Metric
from app.core.monitoring.samples import Distribution, Sample
from models.job import FINAL

_BY_NAME = {metric.name: metric for metric in metrics.COUNTED}


def read() -> list[Sample | Distribution]:
    """Raises `redis.RedisError`."""
    return [*_counts(sharing.read_counts()), *_processes()]


def _counts(numbers: Mapping[Series, float]) -> Iterator[Sample | Distribution]:
    """What a release beside this one counts and this one does not know is left out."""
    by_series: dict[tuple[Metric, tuple[str, ...]], dict[str, float]] = defaultdict(dict)
    for series, number in numbers.items():
        known = _BY_NAME.get(series.metric)
        if known is not None and len(series.labels) == len(known.labels):
            by_series[known, series.labels][series.part] = number
    for metric, labels in _rare({labels[:2] for metric, labels in by_series if metric is metrics.CALLS}):
        by_series[metric, labels].setdefault(TOTAL, 0.0)
    for (metric, labels), parts in by_series.items():
        if metric.kind is Kind.COUNTER:
            yield Sample(metric, parts.get(TOTAL, 0.0), labels)
        else:
            yield Distribution(metric, _in_buckets(metric, parts), parts.get(SUM, 0.0), labels)


def _rare(called: Collection[tuple[str, ...]]) -> Iterator[tuple[Metric, tuple[str, ...]]]:
    """What is 0 until something happens, so that Prometheus sees even the first time as an increase.

    `called` are the providers and models that were.
    """
    counters = (metric for metric in metrics.COUNTED if metric.kind is Kind.COUNTER)
    yield from ((metric, ()) for metric in counters if not metric.labels)
    yield from ((metrics.JOBS_ENDED, (status,)) for status in FINAL)
    yield from ((metrics.WEBHOOKS_ENDED, (outcome,)) for outcome in ("sent", "given_up"))
    yield from ((metrics.CALL_COST_UNCONFIRMED, labels) for labels in called)


def _in_buckets(metric: Metric, parts: Mapping[str, float]) -> Sequence[float]:
    """A release beside this one may have other buckets: what is in one is below the next bound here."""
    numbers = [0.0] * (len(metric.buckets) + 1)
    for part, number in parts.items():
        if part != SUM:
            numbers[bisect_left(metric.buckets, float(part))] += number
    return numbers


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
