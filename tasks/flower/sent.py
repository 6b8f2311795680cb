"""Celery's messages, except that Flower hears nothing of those to tasks that send it no events either.

Celery asks a task only when a worker has its message: of a sweep every five seconds the list would fill up.
"""

from typing import Any

from celery.app.amqp import AMQP


class Messages(AMQP):
    def as_task_v2(self, task_id: str, name: str, *args: Any, **options: Any) -> Any:
        message = super().as_task_v2(task_id, name, *args, **options)
        task = self.app.tasks.get(name)
        return message if task is None or task.send_events else message._replace(sent_event=None)
