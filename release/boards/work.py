"""What is going on, and what does it cost?"""

from collections.abc import Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from app.core.measures import metrics
from release.boards.panels import BAD, CALM, GOOD, WARN, graph, number
from release.boards.queries import gauge, increase, rate

ENDED = {"(completed|succeeded)": GOOD, "failed": BAD, "cancelled": "purple", "expired": WARN}
LIVE = {
    "staging": "light-blue",
    "pending": "blue",
    "running": GOOD,
    "paused": "yellow",
    "cancelling": "purple",
}


def going_on() -> Sequence[Builder[Panel]]:
    return [*_jobs_and_records(), *_calls()]


def _jobs_and_records() -> Sequence[Builder[Panel]]:
    return [
        graph(
            "Jobs",
            "Jobs that have not ended, by status.",
            [(gauge(metrics.JOBS, "status"), "{{status}}")],
            axis="jobs",
            width=6,
            stacked=True,
            colors=LIVE,
        ).decimals(0),
        graph(
            "Jobs that ended",
            "Jobs that ended, per minute, by their last status: a call whose caller waits is a job, too.",
            [(f"60 * {rate(metrics.JOBS_ENDED, 'status')}", "{{status}}")],
            axis="per minute",
            width=6,
            stacked=True,
            colors=ENDED,
        ),
        graph(
            "Records that ended",
            "Records that ended, per minute, by outcome.",
            [(f"60 * {rate(metrics.RECORDS, 'outcome')}", "{{outcome}}")],
            axis="per minute",
            width=6,
            stacked=True,
            colors=ENDED,
        ),
        graph(
            "Records that wait",
            "Records of live jobs that are not being asked: due, waiting for a named time, or of paused"
            " jobs.",
            [(gauge(metrics.RECORDS_UNASKED, "state"), "{{state}}")],
            axis="records",
            width=6,
            stacked=True,
        ),
    ]


def _calls() -> Sequence[Builder[Panel]]:
    return [
        graph(
            "Calls in flight",
            "Calls that wait for their answer, by limit group.",
            [(gauge(metrics.CALLS_IN_FLIGHT, "group"), "{{group}}")],
            axis="calls",
        ),
        graph(
            "Calls",
            "Calls of each provider, per minute, by model, those without an answer included.",
            [(f"60 * {rate(metrics.CALLS, 'provider', 'model')}", "{{provider}} {{model}}")],
            axis="per minute",
            stacked=True,
        ),
        graph(
            "How answers ended",
            "Records that ended with an answer, per minute, by its stop reason. Many at max_tokens: answers"
            " are cut off.",
            [(f"60 * {rate(metrics.STOP_REASONS, 'reason')}", "{{reason}}")],
            axis="per minute",
        ),
    ]


def cost() -> Sequence[Builder[Panel]]:
    return [
        graph(
            "Dollars an hour",
            "What answered calls cost at the present rate, by model.",
            [(f"3600 * {rate(metrics.CALL_COST, 'model')}", "{{model}}")],
            unit="currencyUSD",
            stacked=True,
        ),
        graph(
            "Tokens",
            "Tokens of answered calls, per minute: cache_read is what the provider's cache saves.",
            [(f"60 * {rate(metrics.CALL_TOKENS, 'kind')}", "{{kind}}")],
            axis="per minute",
            stacked=True,
            colors={"output": "purple"},
        ),
        number(
            "Spent in the time shown",
            "By model, as far as answers are known. `penstock usage` has it by tenant and key.",
            increase(metrics.CALL_COST, "model"),
            unit="currencyUSD",
            first=CALM,
            legend="{{model}}",
            width=8,
            none="nothing",
        ).height(8),
    ]
