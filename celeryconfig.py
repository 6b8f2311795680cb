"""How Celery runs Penstock's tasks: plain constants, each with a reason. What varies is in the settings."""

from kombu import Exchange, Queue

from config import logs, private, settings
from tasks.log import setup

try:
    _settings = settings.current()
except settings.BadSetting as _error:
    logs.end_with(str(_error))  # one readable line, not a traceback
private.keep(_settings)  # every process of Celery's reads this file before it writes one

# Seconds. A host may forget a connection without a word. Who waits for an answer on it gives up after
# `_answer`; who waits for messages notices within twice `_check` and the second that a poll takes.
_answer, _connect, _check = 3, 3, 3

# With the database's client they take half of the memory of a process that runs none of them.
_runs_tasks = setup.runs_tasks()
imports: tuple[str, ...] = ()
if _runs_tasks:
    imports = (
        "tasks.worker",
        "tasks.command_line",
        "tasks.advance",
        "tasks.slice",
        "tasks.close_window",
        "tasks.sweep",
        "tasks.webhooks",
        "tasks.inspection",
    )

# --- location of messages and chord counters

broker_url = _settings.broker_url
result_backend = f"tasks.results:Results+{_settings.results_url}"
# A namespace for our own keys: one Redis may serve other applications too.
broker_transport_options = {
    # A slice starts no call after 60 s, a call ends by its deadline, plus 60 s. A shorter timeout would
    # redeliver live slices again and again; after a kill the sweep recovers quickly, so this need not be
    # short.
    "visibility_timeout": 60 + _settings.call_deadline + 60,
    "socket_timeout": _answer,
    "socket_connect_timeout": _connect,
    "socket_keepalive": True,
    "health_check_interval": _check,
    **({"global_keyprefix": _settings.redis_prefix} if _settings.redis_prefix else {}),
}
result_backend_transport_options = {"global_keyprefix": "penstock:"}
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # a worker survives a broker outage of an hour
redis_socket_timeout = _answer
redis_socket_connect_timeout = _connect
redis_socket_keepalive = True
redis_backend_health_check_interval = _check

# --- what is kept of results

task_ignore_result = True  # rows hold the outcomes; chords count their parts all the same
result_expires = 3600
result_chord_join_timeout = 10.0

# --- workers

# A slice's thread waits for its calls, it does not work; all calls of a process share one event loop.
worker_pool = "threads"
worker_concurrency = 64

# --- how messages are consumed

task_acks_late = True  # a message lives until its task has ended
task_reject_on_worker_lost = False
worker_prefetch_multiplier = 1  # messages waiting in a worker cannot be taken by another
worker_cancel_long_running_tasks_on_connection_loss = False  # the rows fence what the broker delivers twice
worker_consumer = "tasks.consumer:Consumer"  # survives a broker that comes back later
worker_disable_rate_limits = True  # limits are enforced across all workers, in Redis
worker_detect_quorum_queues = False
worker_hijack_root_logger = False
worker_send_task_events = True  # Flower needs them
task_send_sent_event = _runs_tasks  # beat sends what comes every few seconds, which Flower should not hear

# --- routing

task_serializer = result_serializer = "json"
accept_content = ["json"]
# `celery -A tasks worker` serves them both, `--queues` selects one.
task_queues = [Queue(name, Exchange(name), routing_key=name) for name in ("slices", "control")]
task_default_queue = "control"
task_create_missing_queues = True
task_routes = {"penstock.slice": {"queue": "slices"}}

enable_utc = True
timezone = "UTC"

# --- beat

# In memory alone. The default one keeps its times in a pickle, which would run as code in the beat whatever
# another process wrote there; and entries that come every few seconds need no memory of the last time.
beat_scheduler = "celery.beat:Scheduler"
beat_enable_remote_control = True  # `celery -A tasks inspect ping` reaches it
beat_schedule = {
    # `expires`: a control worker that was down finds one sweep, not an hour of them. A beat by itself knows
    # nothing else of its tasks but their names.
    "sweep": {
        "task": "penstock.sweep",
        "schedule": 5.0,
        "options": {"expires": 10, "ignore_result": True},
    },
}
if _settings.status_files is not None:
    imports += ("app.dialects.analyze.files",) if _runs_tasks else ()
    beat_schedule["files"] = {
        "task": "penstock.keep_statuses",
        "schedule": 1.0,
        "options": {"expires": 2, "ignore_result": True},
    }
