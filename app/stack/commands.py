"""The command line of every process of the stack; the only place for their flags."""

import sys
from pathlib import Path

CONTROL_THREADS = 8
GRACEFUL_WEB = 5  # seconds: an open event stream takes all of them


def broker(program: Path, configuration: Path) -> list[str]:
    return [str(program), str(configuration)]


def web(listener: int, workers: int, threads: int) -> list[str]:
    """Processes with many threads each; `listener` is the descriptor of the socket that they inherit."""
    return [
        *_module("gunicorn", "app.factory:create_app()"),
        *("--bind", f"fd://{listener}"),
        *("--workers", str(workers), "--worker-class", "app.server.worker.Worker", "--threads", str(threads)),
        *("--graceful-timeout", str(GRACEFUL_WEB)),
        *("--logger-class", "app.server.logger.Logger", "--no-control-socket"),
    ]


def slice_worker(number: int) -> list[str]:
    return _worker(f"slice{number}", "slices")


def control_worker() -> list[str]:
    """Decides and recovers; beat runs in it."""
    return [*_worker("control", "control"), "--concurrency", str(CONTROL_THREADS), "--beat"]


def _worker(name: str, queue: str) -> list[str]:
    """All else is in celeryconfig.py."""
    return [*_module("celery", "--app", "tasks", "worker"), "--hostname", f"{name}@%h", "--queues", queue]


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]
