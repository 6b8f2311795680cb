"""What Celery's own events tell of the tasks of a job, and what a callback leaves in the job's row."""

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from redis import RedisError

from models.job import FINAL
from tasks.celery import app
from tests.support.stack import Running

CALLBACK = "penstock.close_window"


class Seen(NamedTuple):
    """A job's row when a callback of one of its chords had just run."""

    status: str
    tokens: int
    cost: int


class Watched:
    """A job, once a callback has ended it: how often workers received each task, and what callbacks left."""

    def __init__(self, submit: Callable[[], Running]) -> None:
        self.received: Counter[str] = Counter()
        self.callbacks: list[Seen] = []
        self._names: dict[str, str] = {}  # id -> name: an event of a task's success has no name
        self._submitted, listening = threading.Event(), threading.Event()
        listener = threading.Thread(target=self._listen, args=(listening,), daemon=True)
        listener.start()
        assert listening.wait(10)
        self.job = submit()
        self._submitted.set()
        listener.join(60)
        assert not listener.is_alive(), f"no callback has ended the job; it is {self.job.status}"

    def _listen(self, listening: threading.Event) -> None:
        with app.connection_for_read() as connection, suppress(OSError, RedisError):
            handlers = {"task-received": self._note_received, "task-succeeded": self._note_succeeded}
            self._receiver = app.events.Receiver(connection, handlers=handlers)
            listening.set()
            self._receiver.capture(limit=None, timeout=None, wakeup=False)

    def _note_received(self, event: dict[str, Any]) -> None:
        self._names[event["uuid"]] = event["name"]
        self.received[event["name"]] += 1

    def _note_succeeded(self, event: dict[str, Any]) -> None:
        if self._names.get(event["uuid"]) != CALLBACK:
            return
        self._submitted.wait()
        row, counts = self.job.row(), self.job.counts()
        self.callbacks.append(Seen(row.status, counts.input_tokens + counts.output_tokens, counts.cost))
        self._receiver.should_stop = row.status in FINAL
