"""Celery's consumer, except for what it does when the broker's connection breaks, and with junk."""

from collections.abc import Callable
from typing import Any

import structlog
from celery.worker.consumer import Consumer as CeleryConsumer

log = structlog.get_logger(__name__)

HEARTBEAT = 10  # seconds, unless the command line says otherwise


class Consumer(CeleryConsumer):
    """Drops the messages of a broken connection, and messages that are not tasks; and does not gossip.

    kombu 5.7 hands unacknowledged messages back, and acknowledges finished ones, over the very channel that
    was lost; with Redis either ends the worker with an AttributeError in place of a new connection. Neither
    is needed: the broker delivers them again, rows fence what is done twice, and the sweep does not wait for
    them. An orderly stop still hands its messages back.
    """

    def __init__(self, *args: Any, worker_options: dict[str, Any], **kwargs: Any) -> None:
        """Workers learn each other's state from the database; heartbeats are for Flower alone."""
        quiet = {"without_gossip": True, "without_mingle": True}
        heartbeat = {"heartbeat_interval": worker_options.get("heartbeat_interval") or HEARTBEAT}
        super().__init__(*args, worker_options=worker_options | quiet | heartbeat, **kwargs)

    def on_connection_error_after_connected(self, exc: Exception) -> Any:
        if self.task_consumer is not None:
            channel = self.task_consumer.channel
            channel.do_restore = False
            channel.basic_ack = channel.basic_reject = _do_nothing
        return super().on_connection_error_after_connected(exc)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        handle = super().create_task_handler(*args, **kwargs)

        def receive(message: Any) -> Any:
            if _is_task(message.headers):
                return handle(message)
            log.warning("broker.junk_dropped", error="not a task")
            return message.reject_log_error(log, self.connection_errors)

        return receive


def _is_task(headers: Any) -> bool:
    """Whether a message is a task as every release has sent them: Celery trusts these headers."""
    return isinstance(headers, dict) and all(isinstance(headers.get(name), str) for name in ("task", "id"))


def _do_nothing(*_: Any, **__: Any) -> None:
    """The channel is gone."""
