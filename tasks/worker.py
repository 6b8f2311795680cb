"""A worker's life, by Celery's signals: what starts when it is ready, and what stops with it."""

import threading
from typing import Any

import structlog
from celery.signals import celeryd_after_setup, worker_ready, worker_shutdown, worker_shutting_down

from app.core.worker import process
from app.providers import registry
from config import settings
from tasks import stand_in, ticker

log = structlog.get_logger()


@celeryd_after_setup.connect
def _count_threads(instance: Any, **_: Any) -> None:
    if "slices" in instance.app.amqp.queues.consume_from:
        process.runs_slices(instance.concurrency)


@worker_ready.connect
def _tick(sender: Any, **_: Any) -> None:
    if "control" in sender.app.amqp.queues.consume_from:
        ticker.start()


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
        log.warning("warm_up.failed", error=type(error).__name__)


@worker_shutting_down.connect
def _stop_calls(**_: Any) -> None:
    """On SIGTERM Celery waits for the slices in hand: they start nothing new and end within the grace."""
    ticker.stop()
    stand_in.stop()
    process.stop_current(settings.current().grace)


@worker_shutdown.connect
def _end_process(**_: Any) -> None:
    process.end_current()
