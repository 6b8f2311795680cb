"""The Celery application: `celery -A tasks worker`, `celery -A tasks beat`, `celery -A tasks flower`."""

import logging
from typing import Any

from celery import Celery
from celery.signals import setup_logging

from config import logs, settings
from tasks import broker, measuring
from tasks.flower import start
from tasks.sigterm import SigtermOnce

broker.install()
measuring.install()
start.set_defaults()
app = Celery("penstock", amqp="tasks.flower.sent:Messages")
app.config_from_object("celeryconfig")
app.steps["worker"].add(SigtermOnce)


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    logs.configure(settings.current().log_level, settings.current().log_format)
    for chatty in ("celery.worker.strategy", "celery.app.trace", "celery.beat"):
        # They log each message received and each task done, which Flower shows; a log should be readable.
        logging.getLogger(chatty).setLevel(logging.WARNING)
