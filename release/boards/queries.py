"""Queries of the metrics, made from their declarations: what a metric does not have is an error here.

Every web process tells of the whole system, so `max without (instance, pod)` makes one answer of theirs.
"""

from app.core.measures.metrics import Kind, Metric

CHOSEN = {"group": "$group", "model": "$model"}  # labels whose values are chosen at the top of the board


def gauge(metric: Metric, *by: str, **values: str) -> str:
    """What a gauge says, for each value of the labels `by`; the largest where the others differ."""
    _check(metric, Kind.GAUGE, *by, *values)
    return f"max{_by(by)} ({_series(metric, values)})"


def rate(metric: Metric, *by: str, **values: str) -> str:
    """How fast a counter grows, per second."""
    _check(metric, Kind.COUNTER, *by, *values)
    return _sum(f"rate({_series(metric, values)}[$__rate_interval])", by)


def increase(metric: Metric, *by: str, **values: str) -> str:
    """By how much a counter has grown in the whole time that is shown."""
    _check(metric, Kind.COUNTER, *by, *values)
    return _sum(f"increase({_series(metric, values)}[$__range])", by)


def quantile(share: float, metric: Metric, *by: str, **values: str) -> str:
    """The value of a histogram that the share stays below."""
    _check(metric, Kind.HISTOGRAM, *by, *values)
    buckets = f"rate({_series(metric, values, '_bucket')}[$__rate_interval])"
    return f"histogram_quantile({share}, {_sum(buckets, (*by, 'le'))})"


def events(metric: Metric, *by: str, **values: str) -> str:
    """How many values a histogram gets, per second."""
    _check(metric, Kind.HISTOGRAM, *by, *values)
    return _sum(f"rate({_series(metric, values, '_count')}[$__rate_interval])", by)


def _sum(counters: str, by: tuple[str, ...]) -> str:
    return f"sum{_by(by)} (max without (instance, pod) ({counters}))"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _series(metric: Metric, values: dict[str, str], suffix: str = "") -> str:
    """`values` are patterns, those that begin with `!` of what is left out."""
    chosen = {label: value for label, value in CHOSEN.items() if label in metric.labels}
    patterns = [f"{label}{_matches(value)}" for label, value in {**chosen, **values}.items()]
    selected = ", ".join(['job="$job"', *patterns])
    return f"{metric.name}{suffix}{{{selected}}}"


def _matches(value: str) -> str:
    return f'!~"{value[1:]}"' if value.startswith("!") else f'=~"{value}"'


def _check(metric: Metric, kind: Kind, *labels: str) -> None:
    if metric.kind is not kind:
        raise ValueError(f"{metric.name} is a {metric.kind}, not a {kind}")
    if unknown := set(labels) - set(metric.labels):
        raise ValueError(f"{metric.name} has no {', '.join(sorted(unknown))}, but {', '.join(metric.labels)}")
