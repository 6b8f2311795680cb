"""Is it up? What answers, who works, which alerts fire, and which groups are held."""

from collections.abc import Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models.dashboard import Panel

from app.core.measures import metrics
from release.boards.panels import BAD, CALM, GOOD, HELD, WARN, bands, listing, number
from release.boards.queries import gauge

FIRING = 'ALERTS{alertname=~"Penstock.*", alertstate="firing"}'
TELL_APART = ("group", "part", "model", "error_type", "role", "queue", "route")  # labels of alerts
HEIGHT = 6


def up() -> Sequence[Builder[Panel]]:
    return [*_at_a_glance(), *_stopped()]


def _at_a_glance() -> Sequence[Builder[Panel]]:
    return [
        number(
            "Parts",
            "Whether a web process got an answer from each part in time. What is read from a part that is"
            " away is missing below.",
            gauge(metrics.ANSWERS, "part"),
            words={"0": ("away", BAD), "1": ("there", GOOD)},
            legend="{{part}}",
            width=8,
            none="no web process answers",
        ),
        number(
            "Slice workers",
            "Processes that make calls and have a live lease. Start more of them when much is due and no"
            " limit is used up.",
            gauge(metrics.WORKERS),
            width=3,
            first=WARN,
            colors=[(1, GOOD)],
        ),
        number(
            "Oldest due",
            "For how long a job has been due for its next step. Below two seconds while control worker and"
            " beat run.",
            gauge(metrics.OLDEST_DUE),
            width=3,
            unit="s",
            colors=[(5, WARN), (60, BAD)],
        ),
        number(
            "Last sweep",
            "How long ago somebody looked for what a crash left behind, and who: beat through a control"
            " worker, or a slice worker as its stand-in.",
            gauge(metrics.LAST_SWEEP, "by"),
            unit="s",
            legend="{{by}}",
            colors=[(10, WARN), (60, BAD)],
            width=3,
        ),
        number(
            "Stuck jobs",
            "Jobs that wait for nothing that is known. The log of the control worker names them.",
            gauge(metrics.STUCK_JOBS),
            width=3,
            colors=[(1, BAD)],
        ),
        number(
            "Release",
            "What runs. Two of them: an update is under way.",
            f'count by (version) ({metrics.BUILD.name}{{job="$job"}})',
            legend="{{version}}",
            first=CALM,
        ).text_mode(looks.BigValueTextMode.NAME),
    ]


def _stopped() -> Sequence[Builder[Panel]]:
    return [
        listing(
            "Alerts that fire",
            "Each has a section of its own name in docs/operations.md: what it means and what to type.",
            FIRING,
            {name: name for name in ("alertname", "severity", *TELL_APART)},
            width=12,
        ).height(HEIGHT),
        bands(
            "Held groups",
            "Limit groups of which no call leaves but for probes, by cause: the account is refused, the"
            " provider does not serve calls, or it is not where the configuration says.",
            (f"{gauge(metrics.GROUP_HELD, 'group', 'cause')} > 0", "{{group}}: {{cause}}"),
            colors={f".*: {cause}": color for cause, color in HELD.items()},
            width=12,
            none="none is held",
        ).height(HEIGHT),
    ]
