"""The part of the board about processes and about those who call: workers, requests, webhooks."""

from collections.abc import Iterator, Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from app.core.measures import metrics
from release.boards.panels import graph
from release.boards.queries import events, gauge, increase, quantile, rate


def rows() -> Iterator[tuple[str, Sequence[Builder[Panel]]]]:
    yield "Processes", _processes()
    yield "Who calls", _requests()
    yield "Webhooks", _webhooks()


def _processes() -> Sequence[Builder[Panel]]:
    in_use = gauge(metrics.POOL, "role", state="in_use")
    return [
        graph(
            "Processes",
            "Living processes by what they do.",
            [(gauge(metrics.PROCESSES, "role"), "{{role}}")],
            width=6,
        ),
        graph(
            "Memory",
            "Resident memory of the largest process of each role.",
            [(gauge(metrics.MEMORY, "role"), "{{role}}")],
            unit="bytes",
            width=6,
        ),
        graph(
            "Memory, of what it may have",
            "For each role the container or unit that is nearest to its bound. At 100 % the kernel kills a"
            " process.",
            [
                (gauge(metrics.MEMORY_USE, "role"), "{{role}}"),
            ],
            unit="percentunit",
            width=6,
            line_at=0.9,
            most=1,
        ),
        graph(
            "Database connections in use",
            "Of those that all processes of a role may open.",
            [(f"{in_use} / {gauge(metrics.POOL, 'role', state='most')}", "{{role}}")],
            unit="percentunit",
            width=6,
            line_at=0.9,
            most=1,
        ),
        graph(
            "Free disk",
            "Of the disk with the data directory of the web process that answers.",
            [(gauge(metrics.DATA_FREE), "free")],
            unit="percentunit",
            width=12,
            most=1,
        ),
        graph(
            "Batches",
            "As the batch processor's clients are told: batches that run, and items that wait.",
            [(gauge(metrics.ACTIVE_BATCHES), "batches"), (gauge(metrics.QUEUE_LENGTH), "items")],
            width=12,
        ),
    ]


def _requests() -> Sequence[Builder[Panel]]:
    by_route = events(metrics.HTTP_SECONDS, "method", "route", status="5..")
    slow = quantile(0.95, metrics.HTTP_SECONDS, "route", method="GET", route="!/ws/.*|/metrics")
    return [
        graph(
            "Requests",
            "Requests per second, by status.",
            [(events(metrics.HTTP_SECONDS, "status"), "{{status}}")],
            stacked=True,
        ),
        graph(
            "Requests that failed",
            "Requests per second that got a 5xx, by route. What callers wait for a model to answer passes"
            " the provider's failures on.",
            [(by_route, "{{method}} {{route}}")],
            stacked=True,
        ),
        graph(
            "Slowest reads",
            "The ten slowest routes of GETs: until the response begins, all but one in twenty.",
            [(f"topk(10, {slow})", "{{route}}")],
            unit="s",
            line_at=2.5,
        ),
    ]


def _webhooks() -> Sequence[Builder[Panel]]:
    return [
        graph(
            "Attempts to deliver",
            "Attempts to deliver a webhook, per minute.",
            [(f"60 * {rate(metrics.WEBHOOK_CALLS, 'outcome')}", "{{outcome}}")],
            stacked=True,
        ),
        graph(
            "Deliveries",
            "Deliveries that are to be sent: new, or failing and sent again. Those that were given up in the"
            " time shown, and endpoints that were switched off.",
            [
                (gauge(metrics.WEBHOOKS, "state"), "{{state}}"),
                (increase(metrics.WEBHOOKS_ENDED, "outcome", outcome="given_up"), "{{outcome}}"),
                (gauge(metrics.WEBHOOKS_OFF), "endpoints switched off"),
            ],
        ),
        graph(
            "Oldest delivery due",
            "For how long a delivery has been due: below two seconds while control workers send.",
            [(gauge(metrics.OLDEST_WEBHOOK), "oldest")],
            unit="s",
            line_at=120,
        ),
    ]
