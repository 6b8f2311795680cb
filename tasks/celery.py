"""The Celery application: `celery -A tasks worker`, `celery -A tasks beat`, `celery -A tasks flower`."""

from functools import cached_property
from typing import Any

from celery import Celery

from config import logs
from config.settings import BadSetting
from tasks import broker, measuring
from tasks.flower import start
from tasks.log import context, setup
from tasks.sigterm import SigtermOnce


class Penstock(Celery):
    """Celery's application with a beat that is quiet where its log is JSON."""

    @cached_property
    def Beat(self) -> Any:
        return self.subclass_with_self("tasks.log.console:QuietBeat")


if setup.is_celery():
    try:
        setup.set_up()
    except BadSetting as _error:
        logs.end_with(str(_error))
broker.install()
context.install()
measuring.install()
start.set_defaults()
app = Penstock("penstock", amqp="tasks.flower.sent:Messages")
app.config_from_object("celeryconfig")
app.steps["worker"].add(SigtermOnce)
