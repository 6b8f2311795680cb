"""Alerts and boards as code: they ask for metrics that exist, fire when they should, and say what to do."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import errors
from app.core.measures.metrics import ALL, Kind, Metric
from app.factory import create_app
from models.job import FINAL, LIVE, JobStatus
from models.record import ENDED
from release.boards import __main__ as made
from tests.support import boards
from tests.support.prometheus import ROOT, RULES, alerts, promtool

PAGE = (ROOT / "docs" / "operations.md").read_text()
CASES = sorted((RULES.parent / "tests").glob("*.yml"))
# Labels that Prometheus gives every series, and those of its own series.
OF_PROMETHEUS = {"job", "instance", "pod"}
OF_ALERTS = {"alertname", "alertstate", "severity"}
PARTS = {Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}
LABELS = {
    metric.name + part: {*metric.labels, *OF_PROMETHEUS, *(["le"] if part == "_bucket" else [])}
    for metric in ALL
    for part in PARTS.get(metric.kind, ("",))
} | {"ALERTS": {*OF_ALERTS, *OF_PROMETHEUS}}
NAMES = re.compile(r"\b(?:penstock_\w+|batch_\w+|active_batches|queue_length|ALERTS)\b")


def names(query: str) -> set[str]:
    """The metrics that a query asks for; a name in quotes is a value."""
    return set(NAMES.findall(re.sub(r'"[^"]*"', '""', query)))


def strangers(query: str) -> Iterator[str]:
    """Metrics and labels of a query that nobody declares."""
    yield from names(query) - LABELS.keys()
    bare = re.sub(r'"[^"]*"', '""', query)
    for name, selected in re.findall(r"(\w+)\{([^}]*)\}", bare):
        asked = {re.split(r"[=!]", part)[0].strip() for part in selected.split(",")}
        yield from (f"{name}{{{label}}}" for label in asked - LABELS.get(name, set()))
    known = {label for name in names(query) for label in LABELS.get(name, set())}
    for listed in re.findall(r"\b(?:by|without|ignoring|on) \(([^)]*)\)", bare):
        yield from {label.strip() for label in listed.split(",")} - known


@cache
def cases() -> list[dict[str, Any]]:
    return [case for path in CASES for case in yaml.safe_load(path.read_text())["tests"]]


def test_rules_and_their_tests_pass() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    promtool("test", "rules", *map(str, CASES))


def test_prometheus_reads_the_rules_and_not_their_tests() -> None:
    path = ROOT / "deploy" / "monitoring" / "prometheus.yml"
    promtool("check", "config", "--syntax-only", str(path))
    assert yaml.safe_load(path.read_text())["rule_files"] == ["/etc/prometheus/rules/*.yml"]


def test_each_alert_has_series_that_fire_it_and_series_that_do_not() -> None:
    for alert in alerts():
        name = alert["alert"]
        mine = [case for case in cases() if case["name"].split()[0] == name]
        fires = [case for case in mine if name in str(expected(case))]
        silent = [case for case in mine if name not in str(expected(case))]
        assert fires, name
        assert silent, name
        # What is silent for want of a metric tells nothing: each is there in one of them.
        given = {series["series"].partition("{")[0] for case in silent for series in case["input_series"]}
        assert names(alert["expr"]) <= given, name


def expected(case: dict[str, Any]) -> list[Any]:
    return [asked["exp_samples"] for asked in case["promql_expr_test"]]


def test_each_alert_says_how_urgent_it_is_and_what_to_do() -> None:
    anchors = {anchor(heading) for heading in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)}
    for alert in alerts():
        name, told = alert["alert"], alert["annotations"]
        assert re.fullmatch(r"Penstock[A-Za-z]+", name)
        assert alert["labels"]["severity"] in ("page", "ticket"), name
        assert alert["for"], name
        assert told["summary"], name
        assert told["description"].endswith("."), name
        assert told["runbook_url"] == f"docs/operations.md#{name.lower()}"
        assert name.lower() in anchors, name
    described = set(re.findall(r"^### (Penstock\w+)", PAGE, re.MULTILINE))
    assert described == {alert["alert"] for alert in alerts()}


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_a_metric_or_a_label_that_nobody_declares_is_found() -> None:
    for query, faults in {
        'max by (group) (penstock_group_held{cause="a b, c=d"})': [],
        "rate(penstock_call_duration_seconds_bucket[5m])": [],
        "penstock_cals_total": ["penstock_cals_total"],
        "penstock_call_duration_seconds": ["penstock_call_duration_seconds"],
        'penstock_group_held{grup="a"}': ["penstock_group_held{grup}"],
        "sum by (tenant) (penstock_workers)": ["tenant"],
    }.items():
        assert list(strangers(query)) == faults, query


def test_alerts_and_boards_ask_for_metrics_and_labels_that_are_declared() -> None:
    asked = [(alert["alert"], alert["expr"]) for alert in alerts()] + list(boards.all_queries())
    assert len(asked) > 60
    assert {title: found for title, query in asked if (found := list(strangers(query)))} == {}


def test_alerts_count_nothing_once_for_each_web_process() -> None:
    one = re.compile(r"(max|min) without \(instance, pod[^)]*\) \(((rate|increase|delta)\(\s*)?$")
    for alert in alerts():
        expression = alert["expr"]
        for found in NAMES.finditer(re.sub(r'"[^"]*"', lambda value: "_" * len(value[0]), expression)):
            before = expression[: found.start()]
            assert one.search(before) or before == "absent(", f"{alert['alert']}: {found[0]}"


def test_every_query_of_the_boards_can_be_read(tmp_path: Path) -> None:
    rules = [{"record": "asked", "expr": query} for _, query in boards.all_queries()]
    groups = [{"name": str(number), "rules": [rule]} for number, rule in enumerate(rules)]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": groups}))
    promtool("check", "rules", "--lint=none", str(path))


def test_every_metric_is_named_and_explained_as_prometheus_advises() -> None:
    promtool("check", "metrics", given="".join(map(a_sample, ALL)))


def a_sample(metric: Metric) -> str:
    labels = ",".join(f'{label}="x"' for label in metric.labels)
    ends = ('_bucket{le="+Inf"}', "_sum", "_count") if metric.kind is Kind.HISTOGRAM else (f"{{{labels}}}",)
    samples = "".join(f"{metric.name}{end} 1\n" for end in ends)
    return f"# HELP {metric.name} {metric.meaning}\n# TYPE {metric.name} {metric.kind}\n{samples}"


def test_every_metric_is_on_the_board() -> None:
    """But for what others' contracts name."""
    shown = {name for _, query in boards.all_queries() for name in names(query)}
    parts = {metric.name: PARTS.get(metric.kind, ("",)) for metric in ALL}
    left = {name for name in parts if not shown & {name + part for part in parts[name]}}
    assert left == {"active_batches", "queue_length", "batch_requests_total", "batch_processing_seconds"}


def test_boards_and_the_charts_copies_are_as_they_are_made() -> None:
    for path, text in made.files().items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run `make boards`"


def test_every_panel_says_what_it_shows_in_which_unit() -> None:
    panels = boards.panels()
    assert len({panel["title"] for panel in panels}) == len(panels) > 30
    for panel in panels:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["type"] == "table" or panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_panels_leave_no_hole() -> None:
    widths = Counter[int]()
    for panel in boards.panels():
        widths[panel["gridPos"]["y"]] += panel["gridPos"]["w"]
    assert set(widths.values()) == {24}


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Jobs", {JobStatus.STAGING, *LIVE}),
        ("Jobs that ended", FINAL),
        ("Records that ended", {status.word for status in ENDED}),
    ],
)
def test_each_status_has_a_colour_of_its_own(title: str, words: Collection[str]) -> None:
    found = colours(title, words)
    assert found.keys() == set(words)
    assert len(set(found.values())) == len(found)


def colours(title: str, words: Collection[str]) -> dict[str, str]:
    """Of the series with these names, in the panel of this title: the colours that were chosen for them."""
    [panel] = [panel for panel in boards.panels() if panel["title"] == title]
    return {
        word: override["properties"][0]["value"]["fixedColor"]
        for word in words
        for override in panel["fieldConfig"]["overrides"]
        if re.fullmatch(override["matcher"]["options"], word)
    }


def test_types_of_errors_in_rules_and_boards_are_those_for_which_the_provider_is_to_blame() -> None:
    blamed = {
        kind.type
        for kind in subclasses(errors.ProviderError)
        if kind.blame is errors.Blame.PROVIDER or kind.signals_outage or kind is errors.GatewayTimeout
    }
    named = {
        word
        for alert in alerts()
        for pattern in re.findall(r'error_type=~?"([^"]*)"', alert["expr"])
        for word in pattern.split("|")
    }
    assert named == blamed
    for panel in ("Records that failed", "Calls that failed"):  # a worker that died is not the record's fault
        own = {"process_died", "claim_lost"}
        assert colours(panel, {*own, *blamed, "invalid_request_error"}).keys() == own | blamed


def subclasses(of: type) -> Iterable[Any]:
    return {one for kind in of.__subclasses__() for one in (kind, *subclasses(kind))}


@pytest.mark.filterwarnings("ignore")
def test_routes_in_the_rules_exist() -> None:
    routes = {re.sub(r"<\w+:", "<", rule.rule) for rule in create_app().url_map.iter_rules()}
    for alert in alerts():
        for pattern in re.findall(r'route!?~"([^"]*)"', alert["expr"]):
            for part in pattern.split("|"):
                assert any(re.fullmatch(part, route) for route in routes), part
