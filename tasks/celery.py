"""The Celery application: `celery -A tasks worker`, `celery -A tasks beat`, `celery -A tasks flower`."""

import os
from functools import cached_property
from typing import Any

from celery import Celery

from config import logs, secret_files
from config.settings import BadSetting
from tasks import broker, measuring
from tasks.log import context, setup
from tasks.sigterm import SigtermOnce


class Penstock(Celery):
    """Celery's application with a beat that is quiet where its log is JSON."""

    @cached_property
    def Beat(self) -> Any:
        return self.subclass_with_self("tasks.log.console:QuietBeat")


try:
    secret_files.provide("FLOWER_BASIC_AUTH", os.environ)  # Flower looks for its login nowhere else
    if setup.is_celery():
        setup.set_up()
except BadSetting as _error:
    logs.end_with(str(_error))
broker.install()
context.install()
measuring.install()
app = Penstock("penstock")
app.config_from_object("celeryconfig")
app.steps["worker"].add(SigtermOnce)
