"""What a worker's command line may not ask for: refused at start, in one sentence."""

import argparse
import sys
from typing import Any

from celery.concurrency import get_implementation
from celery.concurrency.thread import TaskPool
from celery.signals import celeryd_init

from config import logs


@celeryd_init.connect
def _refuse(options: dict[str, Any], **_: Any) -> None:
    pool = _asked_pool()
    if pool not in (None, "threads") or not _is_threads(options.get("pool")):
        logs.end_with(
            f"--pool {pool or options['pool']}: workers run in threads alone, because all calls of"
            " a process share one event loop; leave --pool out, and for more processes start more workers"
        )
    if options.get("autoscale"):
        logs.end_with(
            "--autoscale: a pool of threads does not grow; leave it out, and give --concurrency, or"
            " start more workers"
        )


def _asked_pool() -> str | None:
    """The pool named on the command line: for its own default, prefork, Celery puts the configured pool."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-P", "--pool")
    asked, _ = parser.parse_known_args(sys.argv[1:])
    return str(asked.pool) if asked.pool else None


def _is_threads(pool: Any) -> bool:
    """Whether it is the threads pool, or none, which means the configured one."""
    return pool is None or get_implementation(pool) is TaskPool
