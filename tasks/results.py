"""Celery's results in Redis: it counts the parts of a chord there, and nobody waits for a result."""

from typing import Any

from celery.backends.redis import RedisBackend


class Results(RedisBackend):
    """Subscribes to no results.

    Celery subscribes to each task of a group that it sends, over a connection that it opens for that, and
    unsubscribes when the garbage collector finds the result: a message for each slice, of no use to anybody.
    """

    def on_task_call(self, producer: Any, task_id: str) -> None:
        pass

    def add_pending_result(self, result: Any, weak: bool = False, start_drainer: bool = True) -> Any:
        return result

    def remove_pending_result(self, result: Any) -> Any:
        return result
