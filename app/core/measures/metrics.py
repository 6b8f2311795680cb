"""Every metric: its name, kind, meaning and labels. No label has more values than an operator can read.

Those of `SYSTEM` show how the whole system stands, read from rows, Redis and broker
(`app.core.monitoring.collector`). Those of `COUNTED` are counted by every process and added up in Redis
(`app.core.measures.sharing`), those of `TOLD` are what each living process said of itself last. So every
web process reports the same.
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
    buckets: tuple[float, ...] = ()  # upper bounds of a histogram's, in its unit


ANSWERS = Metric(
    "penstock_answers",
    Kind.GAUGE,
    "1 if the part answered this scrape in time; metrics read from one that did not are left out",
    ("part",),
)
JOBS = Metric("penstock_jobs", Kind.GAUGE, "Jobs that have not ended, by status", ("status",))
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
    "penstock_group_held",
    Kind.GAUGE,
    "1 while a limit group is held for this cause and only probes are sent: account, provider, configuration;"
    " 0 when nobody has asked for a quarter of an hour",
    ("group", "cause"),
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
    "Deliveries of webhooks that are to be sent, by state: new, or failing (sent again)",
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
LAST_SWEEP = Metric(
    "penstock_last_sweep_seconds",
    Kind.GAUGE,
    "How long ago the last sweep was, by who made it: beat, or a slice worker as its stand_in",
    ("by",),
)
RECORDS_UNASKED = Metric(
    "penstock_records_unasked",
    Kind.GAUGE,
    "Records of live jobs that are not being asked: due, waiting for a named time, or paused with their job",
    ("state",),
)
DATA_FREE = Metric(
    "penstock_data_free_ratio",
    Kind.GAUGE,
    "Free share of the disk with the data directory of the web process that answers",
)
BUILD = Metric("penstock_build_info", Kind.GAUGE, "1, with the release that answers", ("version",))
SYSTEM = (
    ANSWERS,
    JOBS,
    LIMIT_ALLOWED,
    LIMIT_USED,
    CALLS_IN_FLIGHT,
    GROUP_HELD,
    QUEUE_MESSAGES,
    WORKERS,
    STUCK_JOBS,
    OLDEST_DUE,
    LAST_SWEEP,
    RECORDS_UNASKED,
    WEBHOOKS,
    OLDEST_WEBHOOK,
    WEBHOOKS_OFF,
    ACTIVE_BATCHES,
    QUEUE_LENGTH,
    DATA_FREE,
    BUILD,
)

# --- counted by every process

SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # seconds; a wait may be 60
LONG = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1_800)  # seconds

JOBS_ENDED = Metric(
    "penstock_jobs_ended_total", Kind.COUNTER, "Jobs that ended, by their last status", ("status",)
)
RECORDS = Metric(
    "penstock_records_total",
    Kind.COUNTER,
    "Records that ended, by outcome and, if they failed, the type of their error",
    ("outcome", "error_type"),
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
    "penstock_stop_reasons_total",
    Kind.COUNTER,
    "Records that ended with an answer, by its stop reason: one of the Messages API, or other",
    ("reason",),
)
CALLS = Metric(
    "penstock_calls_total",
    Kind.COUNTER,
    "Calls of a provider, by how the ledger books them and the type of their error",
    ("provider", "model", "outcome", "error_type"),
)
CALL_SECONDS = Metric(
    "penstock_call_duration_seconds",
    Kind.HISTOGRAM,
    "Answered calls, from the request to the whole answer",
    ("provider", "model"),
    LONG,
)
FIRST_BYTE_SECONDS = Metric(
    "penstock_call_first_byte_seconds",
    Kind.HISTOGRAM,
    "Answered calls, from the request to the answer's first byte",
    ("provider", "model"),
    LONG,
)
CALL_TOKENS = Metric(
    "penstock_call_tokens_total",
    Kind.COUNTER,
    "Tokens of answered calls: input, output, cache_read, cache_write",
    ("provider", "model", "kind"),
)
CALL_COST = Metric(
    "penstock_call_cost_dollars_total", Kind.COUNTER, "Cost of answered calls, in USD", ("provider", "model")
)
CALL_COST_UNCONFIRMED = Metric(
    "penstock_call_cost_unconfirmed_dollars_total",
    Kind.COUNTER,
    "The most that calls whose cost is not known may have cost, in USD; a late answer subtracts nothing",
    ("provider", "model"),
)
LIMITER_WAIT = Metric(
    "penstock_limiter_wait_seconds_total",
    Kind.COUNTER,
    "Seconds for which slices waited for a permit, by what had no room for their calls",
    ("group", "reason"),
)
WINDOW_SECONDS = Metric(
    "penstock_window_duration_seconds", Kind.HISTOGRAM, "Windows, from their offer to their close", (), LONG
)
SLICE_SECONDS = Metric(
    "penstock_slice_duration_seconds", Kind.HISTOGRAM, "Slices, from their first step to their last", (), LONG
)
QUEUE_SECONDS = Metric(
    "penstock_queue_wait_seconds",
    Kind.HISTOGRAM,
    "Messages, from when they were sent until a worker began with them",
    ("queue",),
    SHORT,
)
RECOVERED_LEASES = Metric(
    "penstock_leases_recovered_total", Kind.COUNTER, "Worker processes that were found dead"
)
RECOVERED_RECORDS = Metric(
    "penstock_records_recovered_total",
    Kind.COUNTER,
    "Records that were given back because their worker process was found dead",
)
LOST_WINDOWS = Metric(
    "penstock_windows_lost_total", Kind.COUNTER, "Windows that were offered again because they were lost"
)
NOT_FETCHED = Metric(
    "penstock_documents_not_fetched_total",
    Kind.COUNTER,
    "Documents that could not be fetched from the object store for a call, and are fetched again",
)
WEBHOOK_CALLS = Metric(
    "penstock_webhook_attempts_total",
    Kind.COUNTER,
    "Attempts to deliver a webhook: delivered, failed",
    ("outcome",),
)
WEBHOOKS_ENDED = Metric(
    "penstock_webhooks_ended_total",
    Kind.COUNTER,
    "Deliveries of webhooks that ended: sent, given_up",
    ("outcome",),
)
NO_ROUTE = "none"  # route and method of requests without a route: a caller may have made them up
HTTP_SECONDS = Metric(
    "penstock_http_request_duration_seconds",
    Kind.HISTOGRAM,
    "Requests, until their response began",
    ("route", "method", "status"),
    SHORT,
)
BATCH_REQUESTS = Metric("batch_requests_total", Kind.COUNTER, "Requests to the batch processor")
BATCH_SECONDS = Metric(
    "batch_processing_seconds",
    Kind.HISTOGRAM,
    "Duration of those requests, until their response began",
    (),
    SHORT,
)
COUNTED = (
    JOBS_ENDED,
    RECORDS,
    STOP_REASONS,
    CALLS,
    CALL_SECONDS,
    FIRST_BYTE_SECONDS,
    CALL_TOKENS,
    CALL_COST,
    CALL_COST_UNCONFIRMED,
    LIMITER_WAIT,
    WINDOW_SECONDS,
    SLICE_SECONDS,
    QUEUE_SECONDS,
    RECOVERED_LEASES,
    RECOVERED_RECORDS,
    LOST_WINDOWS,
    NOT_FETCHED,
    WEBHOOK_CALLS,
    WEBHOOKS_ENDED,
    HTTP_SECONDS,
    BATCH_REQUESTS,
    BATCH_SECONDS,
)

# --- told by every process of itself

PROCESSES = Metric("penstock_processes", Kind.GAUGE, "Living processes by what they do", ("role",))
MEMORY = Metric(
    "penstock_process_memory_bytes",
    Kind.GAUGE,
    "Resident memory of the largest process of a role",
    ("role",),
)
MEMORY_USE = Metric(
    "penstock_memory_use_ratio",
    Kind.GAUGE,
    "Use of the memory that the machine allows a process and what runs beside it in its container or unit:"
    " that of a role which is nearest to its bound; none without a bound",
    ("role",),
)
POOL = Metric(
    "penstock_pool_connections",
    Kind.GAUGE,
    "Connections to the database of all processes of a role: in_use, open, and at most",
    ("role", "state"),
)
TOLD = (PROCESSES, MEMORY, MEMORY_USE, POOL)

ALL = (*SYSTEM, *COUNTED, *TOLD)
