"""A worker's life, by Celery's signals: what starts when it is ready, and what stops with it."""

import math
import threading
from typing import Any

import structlog
from celery.signals import (
    celeryd_after_setup,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)

from app.core.measures.sharing import Sharer
from app.core.monitoring import own_standing
from app.core.outages import servers
from app.core.tracing import traces
from app.core.worker import process
from app.providers import registry
from config import settings
from tasks import stand_in, ticker, webhooks

log = structlog.get_logger()

CONTROL_SHARE = 8  # of so many threads, one is not offered to slices
ROLES = {
    "slices": "this worker makes no calls: records are answered by workers that serve the queue slices",
    "control": "this worker does not decide what comes next: that is done by a worker that serves the queue"
    " control, or while there is none, by one of the slice workers",
}

_sharer: Sharer | None = None  # of this process, once it takes messages


@celeryd_after_setup.connect
def _count_threads(instance: Any, **_: Any) -> None:
    queues = instance.app.amqp.queues.consume_from
    if "slices" in queues:
        process.runs_slices(_for_slices(instance.concurrency, alone="control" not in queues))


def _for_slices(threads: int, *, alone: bool) -> int:
    """How many threads slices are offered: not all, where the worker decides and recovers, too."""
    return threads if alone else max(1, threads - math.ceil(threads / CONTROL_SHARE))


@worker_ready.connect
def _trace(sender: Any, **_: Any) -> None:
    queues = sender.app.amqp.queues.consume_from
    traces.start("slices" if "slices" in queues else "control")


@worker_ready.connect
def _tick(sender: Any, **_: Any) -> None:
    if "control" in sender.app.amqp.queues.consume_from:
        ticker.start()


@worker_ready.connect
def _tell_queues(sender: Any, **_: Any) -> None:
    """Say what the worker does not do, as nobody would expect of a worker that makes no calls."""
    queues = set(sender.app.amqp.queues.consume_from)
    known, tell = ", ".join(sorted(queues)), log.info if queues & set(ROLES) else log.warning
    for queue, role in ROLES.items():
        if queue not in queues:
            tell(f"worker.serves_no_{queue}", serves=known, others=role)


@worker_ready.connect
def _warm_up(sender: Any, **_: Any) -> None:
    """Import the providers' SDKs before a slice worker's first record: that takes seconds.

    On a thread, so that the worker takes commands meanwhile; a slice that comes earlier waits for it.
    """
    if "slices" in sender.app.amqp.queues.consume_from:
        stand_in.start()
        threading.Thread(target=_prepare, name="warm-up", daemon=True).start()


def _prepare() -> None:
    try:
        for provider in registry.ready(settings.current()):
            process.current().clients.prepare(provider.name)
    except Exception as error:  # the database is away: the first slice prepares what it needs
        servers.tell(error, "warm-up")


@worker_ready.connect
def _share_counts(sender: Any, **_: Any) -> None:
    global _sharer  # noqa: PLW0603 - one a process
    queues = set(sender.app.amqp.queues.consume_from)
    _sharer = own_standing.share("+".join(sorted(queues & set(ROLES))) or "other")


@worker_shutting_down.connect
def _stop_calls(**_: Any) -> None:
    """On SIGTERM Celery waits for the slices in hand: they start nothing new and end within the grace."""
    ticker.stop()
    webhooks.stop()
    stand_in.stop()
    process.stop_current(settings.current().grace)


@worker_shutdown.connect
def _end_process(**_: Any) -> None:
    webhooks.wait(settings.current().grace)
    process.end_current()
    if _sharer is not None:
        _sharer.stop()
    traces.stop()
    log.info("worker.stopped")
