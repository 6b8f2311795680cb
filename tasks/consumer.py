"""Celery's consumer, except for what it does with messages in hand when the broker's connection breaks."""

from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer


class Consumer(CeleryConsumer):
    """Drops the messages of a broken connection.

    kombu 5.7 hands unacknowledged messages back, and acknowledges finished ones, over the very channel that
    was lost; with Redis either ends the worker with an AttributeError in place of a new connection. Neither
    is needed: the broker delivers them again, rows fence what is done twice, and the sweep does not wait for
    them. An orderly stop still hands its messages back.
    """

    def on_connection_error_after_connected(self, exc: Exception) -> Any:
        if self.task_consumer is not None:
            channel = self.task_consumer.channel
            channel.do_restore = False
            channel.basic_ack = channel.basic_reject = _do_nothing
        return super().on_connection_error_after_connected(exc)


def _do_nothing(*_: Any, **__: Any) -> None:
    """The channel is gone."""
