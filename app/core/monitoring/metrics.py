"""Every metric: its name, kind, meaning and labels. No label has more values than an operator can read.

Those of `SYSTEM` show how the whole system stands, read from rows, Redis and broker
(`app.core.monitoring.collector`), so every web process reports the same. `HTTP_SECONDS` and those after it
are of the scraped web process only.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()


ANSWERS = Metric(
    "penstock_answers",
    Kind.GAUGE,
    "1 if the part answered this scrape in time; metrics read from one that did not are left out",
    ("part",),
)
JOBS = Metric("penstock_jobs", Kind.GAUGE, "Jobs by status", ("status",))
RECORDS_ENDED = Metric(
    "penstock_records_ended",
    Kind.GAUGE,
    "Records by outcome; a retry subtracts failed and expired ones again",
    ("outcome",),
)
# Why the Messages API says that an answer ended.
STOP_WORDS = (
    "end_turn",
    "stop_sequence",
    "tool_use",
    "max_tokens",
    "model_context_window_exceeded",
    "refusal",
    "pause_turn",
)
STOP_REASONS = Metric(
    "penstock_stop_reasons",
    Kind.GAUGE,
    "Records that ended with an answer, by its stop reason; a retry subtracts what it asks again",
    ("reason",),
)
TOKENS = Metric("penstock_tokens_total", Kind.COUNTER, "Tokens of answered calls", ("kind",))
COST = Metric("penstock_cost_dollars_total", Kind.COUNTER, "Cost of answered calls, in USD")
COST_UNCONFIRMED = Metric(
    "penstock_cost_unconfirmed_dollars",
    Kind.GAUGE,
    "The most that calls without an answer may have cost, in USD; a late answer subtracts its part again",
)
LIMIT_ALLOWED = Metric(
    "penstock_limit_allowed",
    Kind.GAUGE,
    "What a limit group may do in any minute; no sample means no limit",
    ("group", "of"),
)
LIMIT_USED = Metric("penstock_limit_used", Kind.GAUGE, "What it used in the last minute", ("group", "of"))
CALLS_IN_FLIGHT = Metric(
    "penstock_calls_in_flight", Kind.GAUGE, "Calls in flight of a limit group", ("group",)
)
GROUP_HELD = Metric(
    "penstock_group_held", Kind.GAUGE, "1 while a limit group is held and only probes are sent", ("group",)
)
QUEUE_MESSAGES = Metric(
    "penstock_queue_messages", Kind.GAUGE, "Messages waiting in a queue of the broker", ("queue",)
)
WORKERS = Metric("penstock_workers", Kind.GAUGE, "Slice-worker processes with a live lease")
STUCK_JOBS = Metric("penstock_stuck_jobs", Kind.GAUGE, "Stuck jobs; the log names them")
OLDEST_DUE = Metric(
    "penstock_oldest_due_seconds",
    Kind.GAUGE,
    "How long the longest-waiting job has been due for an advance",
)
WEBHOOKS = Metric(
    "penstock_webhooks",
    Kind.GAUGE,
    "Deliveries of webhooks that are kept, by state: new, failing (to be sent again), sent, given_up",
    ("state",),
)
OLDEST_WEBHOOK = Metric(
    "penstock_oldest_webhook_seconds",
    Kind.GAUGE,
    "How long the longest-waiting delivery has been due to be sent",
)
WEBHOOKS_OFF = Metric(
    "penstock_webhook_endpoints_switched_off",
    Kind.GAUGE,
    "Endpoints that were switched off because they want no more events, or have failed for days",
)
ACTIVE_BATCHES = Metric("active_batches", Kind.GAUGE, "Running batches")
QUEUE_LENGTH = Metric("queue_length", Kind.GAUGE, "Items that have neither ended nor are in flight")
SYSTEM = (
    ANSWERS,
    JOBS,
    RECORDS_ENDED,
    STOP_REASONS,
    TOKENS,
    COST,
    COST_UNCONFIRMED,
    LIMIT_ALLOWED,
    LIMIT_USED,
    CALLS_IN_FLIGHT,
    GROUP_HELD,
    QUEUE_MESSAGES,
    WORKERS,
    STUCK_JOBS,
    OLDEST_DUE,
    WEBHOOKS,
    OLDEST_WEBHOOK,
    WEBHOOKS_OFF,
    ACTIVE_BATCHES,
    QUEUE_LENGTH,
)
HTTP_SECONDS = Metric(
    "penstock_http_request_duration_seconds",
    Kind.HISTOGRAM,
    "Requests to this web process, until their response began",
    ("route", "method", "status"),
)
BATCH_REQUESTS = Metric(
    "batch_requests_total", Kind.COUNTER, "Requests to the batch processor of this web process"
)
BATCH_SECONDS = Metric(
    "batch_processing_seconds", Kind.HISTOGRAM, "Duration of those requests, until their response began"
)
ALL = (*SYSTEM, HTTP_SECONDS, BATCH_REQUESTS, BATCH_SECONDS)
