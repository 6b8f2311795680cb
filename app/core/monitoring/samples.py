"""What a scrape consists of, in the shape that prometheus-client takes."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from app.core.measures.metrics import Kind, Metric

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
Families = Mapping[Metric, Family]

_KINDS: dict[Kind, type[Family]] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


class Sample(NamedTuple):
    """One value of a counter or gauge, its labels in the order of their names."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()

    def add_to(self, families: Families) -> None:
        family = families[self.metric]
        assert not isinstance(family, HistogramMetricFamily)
        family.add_metric(self.labels, self.value)


class Distribution(NamedTuple):
    """A histogram: how many values are in each bucket, the last one beyond all bounds, and their sum."""

    metric: Metric
    numbers: Sequence[float]
    sum: float
    labels: tuple[str, ...] = ()

    def add_to(self, families: Families) -> None:
        bounds = [*map(str, map(float, self.metric.buckets)), "+Inf"]
        buckets = list(zip(bounds, accumulate(self.numbers), strict=True))
        family = families[self.metric]
        assert isinstance(family, HistogramMetricFamily)
        family.add_metric(self.labels, buckets, self.sum)


def family_of(metric: Metric) -> Family:
    """The metric without a sample."""
    return _KINDS[metric.kind](metric.name, metric.meaning, labels=metric.labels)
