"""The board: it answers an operator's questions from top to bottom, in the order in which they are asked."""

from collections.abc import Callable, Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    Panel,
    VariableHide,
    VariableRefresh,
    VariableSort,
)

from app.core.measures import metrics
from release.boards import delays, failures, processes, up, work
from release.boards.panels import SOURCE

# A release that another one did not answer a moment ago.
DEPLOYED = (
    f'count by (version) ({metrics.BUILD.name}{{job="$job"}})'
    f' unless count by (version) ({metrics.BUILD.name}{{job="$job"}} offset 1m)'
)
ABOUT = (
    "What Penstock does, what fails, why it is slow and what it costs, over all tenants, processes and"
    " machines. docs/operations.md explains every metric, and every alert what to do."
)

ROWS: Sequence[tuple[str, Callable[[], Sequence[Builder[Panel]]]]] = (
    ("Is it up?", up.up),
    ("What is going on?", work.going_on),
    ("What fails?", failures.failures),
    ("Why is it slow?", delays.delays),
    ("What does it cost?", work.cost),
    ("Processes", processes.processes),
    ("Who calls", processes.requests),
    ("Webhooks", processes.webhooks),
)


def board() -> Dashboard:
    made = (
        dashboard.Dashboard("Penstock")
        .uid("penstock")
        .description(ABOUT)
        .tags(["penstock"])
        .readonly()
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
    )
    for variable in _variables():
        made.with_variable(variable)
    _links(made)
    _annotations(made)
    number = 0
    for title, panels in ROWS:
        number += 1
        made.with_row(dashboard.Row(title).id(number))
        for panel in panels():
            number += 1
            made.with_panel(panel.id(number))
    return made.build()


def _variables() -> Sequence[Builder[object]]:
    """What is chosen at the top. The last two are where the links lead: browsers may know other addresses."""
    chosen = [
        _values("group", "limit group", metrics.LIMIT_USED.name),
        _values("model", "model", metrics.CALLS.name),
    ]
    return [
        dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"),
        dashboard.QueryVariable("job")
        .label("scrape job")
        .description("Which Penstock, by the job of Prometheus that scrapes it")
        .datasource(SOURCE)
        .query(f"label_values({metrics.BUILD.name}, job)")
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(VariableSort.ALPHABETICAL_ASC),
        *chosen,
        _address("penstock", "http://127.0.0.1:8000"),
        _address("flower", "http://127.0.0.1:5555"),
    ]


def _values(label: str, title: str, metric: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(label)
        .label(title)
        .datasource(SOURCE)
        .query(f'label_values({metric}{{job="$job"}}, {label})')
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _address(name: str, default: str) -> dashboard.TextBoxVariable:
    return dashboard.TextBoxVariable(name).default_value(default).hide(VariableHide.HIDE_VARIABLE)


def _links(made: dashboard.Dashboard) -> None:
    for title, url, tooltip in (
        ("Jobs", "${penstock}/ui", "Penstock's own page: each job, why it is slow, why its records failed"),
        ("Limits", "${penstock}/ui/limits", "What each group may do, and why it is held"),
        ("Flower", "${flower}", "Each message of the queues, and each worker process"),
    ):
        made.link(
            dashboard.DashboardLink(title)
            .type(DashboardLinkType.LINK)
            .url(url)
            .tooltip(tooltip)
            .icon("external link")
            .target_blank(True)
        )


def _annotations(made: dashboard.Dashboard) -> None:
    for name, query, color in (("Alerts", up.FIRING, "red"), ("Releases", DEPLOYED, "blue")):
        made.annotation(
            dashboard.AnnotationQuery()
            .name(name)
            .datasource(SOURCE)
            .expr(query)
            .enable(True)
            .icon_color(color)
        )
