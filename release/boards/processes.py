"""Processes and what they may use; who calls, and who is called back."""

from collections.abc import Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from app.core.measures import metrics
from release.boards.panels import BAD, GOOD, WARN, graph
from release.boards.queries import events, gauge, increase, quantile, rate


def processes() -> Sequence[Builder[Panel]]:
    return [*_memory(), *_room()]


def _memory() -> Sequence[Builder[Panel]]:
    return [
        graph(
            "Processes",
            "Living processes by what they do.",
            [(gauge(metrics.PROCESSES, "role"), "{{role}}")],
            axis="processes",
            stacked=True,
        ).decimals(0),
        graph(
            "Memory",
            "Resident memory of the largest process of each role.",
            [(gauge(metrics.MEMORY, "role"), "{{role}}")],
            unit="bytes",
        ),
        graph(
            "Memory, of what it may have",
            "For each role the container or unit that is nearest to its bound. At 100 % the kernel kills a"
            " process.",
            [
                (gauge(metrics.MEMORY_USE, "role"), "{{role}}"),
            ],
            unit="percentunit",
            line_at=0.9,
            most=1,
            none="no process has a bound",
        ),
    ]


def _room() -> Sequence[Builder[Panel]]:
    in_use = gauge(metrics.POOL, "role", state="in_use")
    return [
        graph(
            "Database connections in use",
            "Of those that all processes of a role may open.",
            [(f"{in_use} / {gauge(metrics.POOL, 'role', state='most')}", "{{role}}")],
            unit="percentunit",
            width=12,
            line_at=0.9,
            most=1,
        ),
        graph(
            "Free disk",
            "Of the disk with the data directory of the web process that answers. Below the line it is nearly"
            " full.",
            [(gauge(metrics.DATA_FREE), "free")],
            unit="percentunit",
            width=12,
            line_at=0.1,
            most=1,
        ),
    ]


def requests() -> Sequence[Builder[Panel]]:
    by_route = events(metrics.HTTP_SECONDS, "method", "route", status="5..")
    slow = quantile(0.95, metrics.HTTP_SECONDS, "route", method="GET", route="!/ws/.*|/metrics")
    return [
        graph(
            "Requests",
            "Requests per second, by status.",
            [(events(metrics.HTTP_SECONDS, "status"), "{{status}}")],
            axis="per second",
            stacked=True,
            colors={"2..": GOOD, "3..": "blue", "4..": WARN, "5..": BAD},
        ),
        graph(
            "Requests that failed",
            "Requests per second that got a 5xx, by route. What callers wait for a model to answer passes"
            " the provider's failures on.",
            [(by_route, "{{method}} {{route}}")],
            axis="per second",
            stacked=True,
            shades=BAD,
            none="none",
        ),
        graph(
            "Slowest reads",
            "The ten slowest routes of GETs: until the response begins, all but one in twenty.",
            [(f"topk(10, {slow})", "{{route}}")],
            unit="s",
            line_at=2.5,
            reaches=2.5,
        ),
    ]


def webhooks() -> Sequence[Builder[Panel]]:
    return [
        graph(
            "Attempts to deliver",
            "Attempts to deliver a webhook, per minute.",
            [(f"60 * {rate(metrics.WEBHOOK_CALLS, 'outcome')}", "{{outcome}}")],
            axis="per minute",
            stacked=True,
            colors={"delivered": GOOD, "failed": BAD},
        ),
        graph(
            "Deliveries",
            "Deliveries that are to be sent: new, or failing and sent again. Those that were given up in the"
            " time shown, and endpoints that were switched off.",
            [
                (gauge(metrics.WEBHOOKS, "state"), "{{state}}"),
                (increase(metrics.WEBHOOKS_ENDED, outcome="given_up"), "given up"),
                (gauge(metrics.WEBHOOKS_OFF), "endpoints switched off"),
            ],
            reaches=1,
            colors={"failing": WARN, "given up": BAD, "endpoints switched off": "purple"},
        ).decimals(0),
        graph(
            "Oldest delivery due",
            "For how long a delivery has been due: below two seconds while control workers send.",
            [(gauge(metrics.OLDEST_WEBHOOK), "oldest")],
            unit="s",
            line_at=120,
            reaches=120,
        ),
    ]
