"""Sets up the log of a process that Celery's command line runs: worker, beat, Flower."""

import logging
import sys
from pathlib import Path
from typing import Any

import structlog
from celery.signals import beat_init, setup_logging

from app.core.outages import lines
from config import logs, settings
from tasks.log import console

log = structlog.get_logger(__name__)

# They log each message received and each task done, which Flower shows, and each connection, of which a log
# has what matters; it should be readable.
CHATTY = (
    *("celery.worker.strategy", "celery.app.trace", "celery.beat"),
    *("celery.worker.consumer.connection", "celery.worker.consumer.consumer", "kombu.mixins"),
)
# It warns of each question that no worker answers: of four as long as none is there, and with each look at
# its page. Which workers there are it shows; that the broker is away is said once.
NOISY = "flower.inspector"


def is_celery() -> bool:
    """Whether this process is `celery …` or `python -m celery …`."""
    program = Path(sys.argv[0])
    return "celery" in (program.name, program.parent.name)


def runs_tasks() -> bool:
    """Whether this process may: beat by itself sends them by their names, and Flower shows what it hears."""
    words = set(sys.argv[1:])
    return not is_celery() or "worker" in words or not words & {"beat", "flower"}


@setup_logging.connect
def set_up(**_: Any) -> None:
    """In place of Celery's own; Flower and whatever is logged before a worker sets its log up need it too."""
    chosen = settings.current()
    logs.configure(chosen.log_level, chosen.log_format, lines.is_told)
    console.silence()
    logging.getLogger("py.warnings").addFilter(_is_news)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger(NOISY).setLevel(logging.ERROR)


@beat_init.connect
def say_that_it_runs(**_: Any) -> None:
    """Of a beat by itself, whose log is empty otherwise, as that of a process that hangs would be."""
    log.info("beat.runs")


def _is_news(record: logging.LogRecord) -> bool:
    """False for what Celery warns of at each lost connection: celeryconfig.py decides it."""
    return "CPendingDeprecationWarning" not in record.getMessage()
