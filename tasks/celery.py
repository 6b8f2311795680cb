"""The Celery application: `celery -A tasks worker`, `celery -A tasks beat`, `celery -A tasks flower`."""

import logging
import threading
from typing import Any

import structlog
from celery import Celery
from celery.signals import setup_logging, worker_ready, worker_shutdown, worker_shutting_down

from config import logs, settings
from tasks.sigterm import HeardOnce

log = structlog.get_logger()

app = Celery("penstock")
app.config_from_object("celeryconfig")
app.steps["worker"].add(HeardOnce)


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    logs.configure(settings.current().log_level, settings.current().log_format)
    for chatty in ("celery.worker.strategy", "celery.app.trace", "celery.beat"):
        # A line for each message received and each task done: Flower shows those; a log should be read.
        logging.getLogger(chatty).setLevel(logging.WARNING)


@worker_ready.connect
def _tick(sender: Any, **_: Any) -> None:
    if "control" in sender.app.amqp.queues.consume_from:
        from tasks import ticker

        ticker.start()


@worker_ready.connect
def _warm_up(sender: Any, **_: Any) -> None:
    """A slice worker's first record should not wait for a provider's SDK: seconds to import.

    On a thread, so that the worker takes commands meanwhile; a slice that comes earlier waits for it.
    """
    if "slices" in sender.app.amqp.queues.consume_from:
        from tasks import stand_in

        stand_in.start()
        threading.Thread(target=_prepare, name="warm-up", daemon=True).start()


def _prepare() -> None:
    from app.core.worker import process
    from app.providers import registry

    try:
        for provider in registry.ready_providers(settings.current()):
            process.current().prepare(provider)
    except Exception as error:  # the database is away: the first slice prepares what it needs
        log.warning("warm_up.failed", error=type(error).__name__)


@worker_shutting_down.connect
def _stop_calls(**_: Any) -> None:
    """SIGTERM: Celery waits for the slices in hand; they start nothing new and end within the grace."""
    from app.core.worker import process
    from tasks import stand_in, ticker

    ticker.stop()
    stand_in.stop()
    process.stop_current(settings.current().grace)


@worker_shutdown.connect
def _end_process(**_: Any) -> None:
    from app.core.worker import process

    process.end_current()
