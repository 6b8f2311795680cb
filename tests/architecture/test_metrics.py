"""Each metric is declared in one place, used in another, and told in the documents."""

import ast
import re
from pathlib import Path

from app.core.measures import metrics

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
# The batch processor's contract names these.
BATCH_PROCESSOR = {
    "batch_requests_total",
    "batch_processing_seconds",
    "active_batches",
    "queue_length",
}
DECLARED = {name: value for name, value in vars(metrics).items() if isinstance(value, metrics.Metric)}


def test_every_metric_is_among_all_of_them_once():
    assert sorted(DECLARED.values(), key=str) == sorted(metrics.ALL, key=str)
    assert len({metric.name for metric in metrics.ALL}) == len(metrics.ALL)


def test_every_metric_is_used():
    used = {
        getattr(node, "attr", None) or getattr(node, "id", None)
        for room in ("app", "tasks")
        for path in (ROOT / room).rglob("*.py")
        if path != Path(metrics.__file__)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute | ast.Name)
    }
    assert set(DECLARED) <= used


def test_names_are_those_that_prometheus_advises():
    for metric in metrics.ALL:
        assert re.fullmatch(r"penstock_[a-z_]+", metric.name) or metric.name in BATCH_PROCESSOR, metric
        assert metric.name.endswith("_total") is (metric.kind is metrics.Kind.COUNTER), metric


def test_the_documents_have_a_line_for_every_metric_and_for_no_other():
    told = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", PAGE, re.MULTILINE)
    }
    assert told == {metric.name: (metric.kind, metric.labels) for metric in metrics.ALL}
