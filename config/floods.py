"""A log that somebody can read: of warnings of one kind a process writes some, and counts the others.

A job of a million records may fail a million times, and anybody may send requests that cannot be read.
"""

import atexit
import contextvars
import logging
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import NamedTuple

import structlog

log = structlog.get_logger(__name__)

MOST = 100  # lines of one kind
WITHIN = 60.0  # seconds
KINDS = 1_000  # that are told apart; more are one kind for each logger


class Kind(NamedTuple):
    """One job's flood hides nothing of another's."""

    event: str
    job: str


class Bound(logging.Filter):
    """Lets the first `MOST` warnings of a kind through, then none until `WITHIN` seconds are over.

    Without a lock, which a fork might find taken: two threads at once may let a line more through.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: Counter[Kind] = Counter()
        self._left_out: Counter[str] = Counter()  # by event
        self._began = time.monotonic()
        atexit.register(self._begin_anew)  # what it has left out it tells in the end, too

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        if time.monotonic() - self._began >= WITHIN:
            self._begin_anew()
        kind = self._kind(record)
        self._seen[kind] += 1
        if self._seen[kind] <= MOST:
            return True
        if not self._left_out:
            self._tell_in_time()
        self._left_out[kind.event] += 1
        return False

    def _kind(self, record: logging.LogRecord) -> Kind:
        told = record.msg if isinstance(record.msg, dict) else {"event": record.msg}
        kind = Kind(str(told.get("event")), str(told.get("job")))
        return kind if kind in self._seen or len(self._seen) < KINDS else Kind(record.name, "")

    def _tell_in_time(self) -> None:
        """The process may have nothing else to say when the time is over."""
        timer = threading.Timer(WITHIN - (time.monotonic() - self._began), self._begin_anew)
        timer.daemon = True
        with suppress(RuntimeError):  # a process that is at its end starts no thread
            timer.start()

    def _begin_anew(self) -> None:
        left_out, self._left_out = self._left_out, Counter()
        self._seen, self._began = Counter(), time.monotonic()
        if left_out:  # in an empty context: they were not about this thread's work
            contextvars.Context().run(log.warning, "log.left_out", lines=dict(left_out), seconds=WITHIN)
