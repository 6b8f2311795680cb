"""Why is it slow? The provider's limits, the provider itself, or too few workers."""

from collections.abc import Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from app.core.measures import metrics
from release.boards.panels import HELD, graph
from release.boards.queries import gauge, quantile, rate

# What a limit has no room for: blue, if the provider's limit says so.
ROOM = {
    "requests": "blue",
    "input_tokens": "light-blue",
    "output_tokens": "dark-blue",
    "concurrency": "yellow",
}


def delays() -> Sequence[Builder[Panel]]:
    return [*_limits(), *_durations(), *_windows()]


def _limits() -> Sequence[Builder[Panel]]:
    used, allowed = gauge(metrics.LIMIT_USED, "group", "of"), gauge(metrics.LIMIT_ALLOWED, "group", "of")
    concurrent = gauge(metrics.LIMIT_ALLOWED, "group", of="concurrent")
    return [
        graph(
            "Use of the limits",
            "What each group used in the last minute of what it may. Near 100 %: the provider's limit is"
            " what takes the time, and more workers change nothing. Far below, with records due: something"
            " else holds them back.",
            [
                (f"{used} / {allowed}", "{{group}}: {{of}}"),
                (f"{gauge(metrics.CALLS_IN_FLIGHT, 'group')} / {concurrent}", "{{group}}: concurrent"),
            ],
            unit="percentunit",
            reaches=1,
        ),
        graph(
            "Requests of a minute",
            "Requests in the last minute, and how many each group may make.",
            [
                (gauge(metrics.LIMIT_USED, "group", of="requests"), "{{group}}"),
                (gauge(metrics.LIMIT_ALLOWED, "group", of="requests"), "{{group}}: allowed"),
            ],
            axis="requests",
            dashed=".*allowed",
        ),
        graph(
            "What slices wait for",
            "How many slices wait for a permit, by what had no room: requests, tokens, concurrency, or a"
            " held group.",
            [(rate(metrics.LIMITER_WAIT, "reason"), "{{reason}}")],
            axis="slices",
            stacked=True,
            colors=HELD | ROOM,
        ),
    ]


def _durations() -> Sequence[Builder[Panel]]:
    return [
        graph(
            "Duration of calls",
            "Answered calls by model: half of them, and all but one in twenty, are shorter.",
            [
                (quantile(0.5, metrics.CALL_SECONDS, "model"), "{{model}}: half"),
                (quantile(0.95, metrics.CALL_SECONDS, "model"), "{{model}}: 95 %"),
            ],
            unit="s",
        ),
        graph(
            "First byte",
            "From the request to the first byte of the answer, all but one in twenty. When it grows with"
            " the duration the provider is slow to begin; when only the duration grows, answers are longer.",
            [(quantile(0.95, metrics.FIRST_BYTE_SECONDS, "model"), "{{model}}: 95 %")],
            unit="s",
        ),
        graph(
            "Wait in the queue",
            "From a message's sending until a worker begins with it, all but one in twenty. Slices: start"
            " more slice workers. Control: start another control worker.",
            [(quantile(0.95, metrics.QUEUE_SECONDS, "queue"), "{{queue}}: 95 %")],
            unit="s",
            line_at=30,
        ),
    ]


def _windows() -> Sequence[Builder[Panel]]:
    return [
        graph(
            "Windows and slices",
            "How long it takes until a range of records that was offered together is done, and one slice of"
            " it.",
            [
                (quantile(0.5, metrics.WINDOW_SECONDS), "windows: half"),
                (quantile(0.95, metrics.WINDOW_SECONDS), "windows: 95 %"),
                (quantile(0.95, metrics.SLICE_SECONDS), "slices: 95 %"),
            ],
            unit="s",
            width=12,
        ),
        graph(
            "Messages in the queues",
            "Messages that no worker has taken. A line that stays up: nobody serves this queue.",
            [(gauge(metrics.QUEUE_MESSAGES, "queue"), "{{queue}}")],
            axis="messages",
            width=12,
            reaches=10,
        ),
    ]
