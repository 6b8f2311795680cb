"""What fails? Records, calls, processes, and the money that went with them."""

from collections.abc import Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from app.core.measures import metrics
from release.boards.panels import BAD, WARN, graph
from release.boards.queries import rate

# Types of errors of the provider, of the way to it, and of workers that died. For all others the record, the
# account or the configuration is to blame.
BLAMED = {
    "rate_limited": "yellow",
    "overloaded": WARN,
    "(server_error|bad_answer)": BAD,
    "(timeout|gateway_timeout|connection_cut|unreachable)": "purple",
    "(process_died|claim_lost)": "dark-red",
}


def failures() -> Sequence[Builder[Panel]]:
    return [*_failed(), *_lost()]


def _failed() -> Sequence[Builder[Panel]]:
    failed = rate(metrics.CALLS, "model", error_type=".+")
    return [
        graph(
            "Records that failed",
            "Records that failed for good, per minute, by the type of their error. Blue: the record, the"
            " account or the configuration is to blame.",
            [(f"60 * {rate(metrics.RECORDS, 'error_type', outcome='failed')}", "{{error_type}}")],
            axis="per minute",
            stacked=True,
            shades="blue",
            colors=BLAMED,
            none="none",
        ),
        graph(
            "Calls that failed",
            "Calls that ended with an error, per minute; most are made again. rate_limited: the limit is"
            " set too high, or others use the account. overloaded, server_error, timeout: the provider's."
            " process_died: a worker was killed, see Recovered.",
            [(f"60 * {rate(metrics.CALLS, 'error_type', error_type='.+')}", "{{error_type}}")],
            axis="per minute",
            stacked=True,
            shades="blue",
            colors=BLAMED,
            none="none",
        ),
        graph(
            "Share of the calls that failed",
            "By model. The line is where PenstockProviderErrors fires, if it is the provider's fault.",
            [(f"{failed} / {rate(metrics.CALLS, 'model')}", "{{model}}")],
            unit="percentunit",
            line_at=0.1,
            reaches=0.2,
            none="none",
        ),
    ]


def _lost() -> Sequence[Builder[Panel]]:
    return [
        graph(
            "Recovered",
            "What was found and mended: processes that died, the records in their hands, windows whose"
            " message was lost. Documents that the object store did not give are asked for again.",
            [
                (f"60 * {rate(metrics.RECOVERED_LEASES)}", "dead processes"),
                (f"60 * {rate(metrics.RECOVERED_RECORDS)}", "records given back"),
                (f"60 * {rate(metrics.LOST_WINDOWS)}", "lost windows"),
                (f"60 * {rate(metrics.NOT_FETCHED)}", "documents not fetched"),
            ],
            axis="per minute",
            width=12,
            stacked=True,
            reaches=1,
            colors={"dead processes": BAD},
        ),
        graph(
            "Cost of lost answers",
            "The most that calls without an answer may have cost, per hour: workers were killed, calls timed"
            " out or a provider left usage out of its answers.",
            [(f"3600 * {rate(metrics.CALL_COST_UNCONFIRMED, 'model')}", "{{model}}")],
            unit="currencyUSD",
            width=12,
        ),
    ]
