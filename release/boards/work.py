"""The part of the board about jobs: is it up, what goes on, what fails, why is it slow, what does it cost."""

from collections.abc import Iterator, Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from app.core.measures import metrics
from release.boards.panels import BAD, CALM, GOOD, WARN, graph, listing, number
from release.boards.queries import gauge, increase, quantile, rate

FIRING = 'ALERTS{alertname=~"Penstock.*", alertstate="firing"}'


def rows() -> Iterator[tuple[str, Sequence[Builder[Panel]]]]:
    yield "Is it up?", _up()
    yield "What is going on?", _going_on()
    yield "What fails?", _failures()
    yield "Why is it slow?", _slow()
    yield "What does it cost?", _cost()


def _up() -> Sequence[Builder[Panel]]:
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
            first=BAD,
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
        ),
        listing(
            "Alerts that fire",
            "Each has a section of its own name in docs/operations.md: what it means and what to type.",
            FIRING,
            {name: name for name in ("alertname", "severity", "group", "part", "model", "role", "route")},
            width=12,
        ),
        graph(
            "Held groups",
            "Limit groups of which no call leaves but for probes, by cause: the account is refused, the"
            " provider does not serve calls, or it is not where the configuration says.",
            [(f"{gauge(metrics.GROUP_HELD, 'group', 'cause')} > 0", "{{group}}: {{cause}}")],
            width=12,
        ),
    ]


def _going_on() -> Sequence[Builder[Panel]]:
    return [
        graph(
            "Jobs",
            "Jobs that have not ended, by status.",
            [(gauge(metrics.JOBS, "status"), "{{status}}")],
            stacked=True,
        ),
        graph(
            "Jobs that ended",
            "Jobs that ended, per minute, by their last status: a call whose caller waits is a job, too.",
            [(f"60 * {rate(metrics.JOBS_ENDED, 'status')}", "{{status}}")],
            stacked=True,
        ),
        graph(
            "Records that ended",
            "Records that ended, per minute, by outcome.",
            [(f"60 * {rate(metrics.RECORDS, 'outcome')}", "{{outcome}}")],
            stacked=True,
        ),
        graph(
            "Records that wait",
            "Records of live jobs that are not being asked: due, waiting for a named time, or of paused"
            " jobs.",
            [(gauge(metrics.RECORDS_UNASKED, "state"), "{{state}}")],
            stacked=True,
        ),
        graph(
            "Calls in flight",
            "Calls that wait for their answer, by limit group.",
            [(gauge(metrics.CALLS_IN_FLIGHT, "group"), "{{group}}")],
        ),
        graph(
            "Calls",
            "Calls of each provider, per minute, by model, those without an answer included.",
            [(f"60 * {rate(metrics.CALLS, 'provider', 'model')}", "{{provider}} {{model}}")],
            stacked=True,
        ),
        graph(
            "How answers ended",
            "Records that ended with an answer, per minute, by its stop reason. Many at max_tokens: answers"
            " are cut off.",
            [(f"60 * {rate(metrics.STOP_REASONS, 'reason')}", "{{reason}}")],
            stacked=True,
        ),
    ]


def _failures() -> Sequence[Builder[Panel]]:
    failed = rate(metrics.CALLS, "model", error_type=".+")
    return [
        graph(
            "Records that failed",
            "Records that failed for good, per minute, by the type of their error.",
            [(f"60 * {rate(metrics.RECORDS, 'error_type', outcome='failed')}", "{{error_type}}")],
            stacked=True,
        ),
        graph(
            "Calls that failed",
            "Calls that ended with an error, per minute; most are made again. rate_limited: the limit is"
            " set too high, or others use the account. overloaded, server_error, timeout: the provider's.",
            [(f"60 * {rate(metrics.CALLS, 'error_type', error_type='.+')}", "{{error_type}}")],
            stacked=True,
        ),
        graph(
            "Share of the calls that failed",
            "By model. The line is where PenstockProviderErrors fires, if it is the provider's fault.",
            [(f"{failed} / {rate(metrics.CALLS, 'model')}", "{{model}}")],
            unit="percentunit",
            line_at=0.1,
            most=1,
        ),
        graph(
            "Recovered",
            "What was found and mended: processes that died, the records in their hands, windows whose"
            " message was lost.",
            [
                (f"60 * {rate(metrics.RECOVERED_LEASES)}", "dead processes per minute"),
                (f"60 * {rate(metrics.RECOVERED_RECORDS)}", "records given back per minute"),
                (f"60 * {rate(metrics.LOST_WINDOWS)}", "lost windows per minute"),
            ],
            width=12,
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


def _slow() -> Sequence[Builder[Panel]]:
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
        ),
        graph(
            "Requests of a minute",
            "Requests in the last minute, and how many each group may make.",
            [
                (gauge(metrics.LIMIT_USED, "group", of="requests"), "{{group}}"),
                (gauge(metrics.LIMIT_ALLOWED, "group", of="requests"), "{{group}}: allowed"),
            ],
            dashed=".*allowed",
        ),
        graph(
            "What slices wait for",
            "How many slices wait for a permit, by what had no room: requests, tokens, concurrency, or a"
            " held group.",
            [(rate(metrics.LIMITER_WAIT, "reason"), "{{reason}}")],
            stacked=True,
        ),
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
            width=12,
        ),
    ]


def _cost() -> Sequence[Builder[Panel]]:
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
            stacked=True,
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
