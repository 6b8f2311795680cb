"""The command line of every process of the stack; the only place for their flags."""

import sys
from pathlib import Path

SLICE_THREADS = 64  # a slice's thread waits for its calls, it does not work
CONTROL_THREADS = 8
GRACEFUL_WEB = 5  # seconds: an open event stream takes all of them

# The state of the stack is read from the database, not from other workers. Heartbeats are for Flower.
QUIET = ("--without-gossip", "--without-mingle", "--heartbeat-interval", "10")


def broker(program: Path, configuration: Path) -> list[str]:
    return [str(program), str(configuration)]


def web(listener: int, workers: int, threads: int) -> list[str]:
    """Processes with many threads each; `listener` is the descriptor of the socket that they inherit."""
    return [
        *_module("gunicorn", "app.factory:create_app()"),
        *("--bind", f"fd://{listener}"),
        *("--workers", str(workers), "--worker-class", "app.server.worker.Worker", "--threads", str(threads)),
        *("--graceful-timeout", str(GRACEFUL_WEB)),
        "--no-control-socket",
    ]


def slice_worker(number: int, log_level: str) -> list[str]:
    return _worker(f"slice{number}", "slices", SLICE_THREADS, log_level)


def control_worker(log_level: str) -> list[str]:
    """Decides and recovers; beat runs in it."""
    return [*_worker("control", "control", CONTROL_THREADS, log_level), "--beat"]


def _worker(name: str, queue: str, threads: int, log_level: str) -> list[str]:
    return [
        *_module("celery", "--app", "tasks", "worker"),
        *("--hostname", f"{name}@%h", "--queues", queue),
        *("--pool", "threads", "--concurrency", str(threads)),
        *("--loglevel", log_level, *QUIET),
    ]


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]
