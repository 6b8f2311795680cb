"""SIGTERM, once: a worker that handles the first one must not be interrupted by the next."""

import signal
from types import FrameType
from typing import Any

from celery import bootsteps


class SigtermOnce(bootsteps.StartStopStep):
    """Has a worker ignore every SIGTERM after the first.

    Celery's handler sends a signal of its own, whose dispatcher takes a lock. A second SIGTERM within that
    runs the handler again, in the same thread, which then waits for itself: the worker would never end.
    """

    def start(self, parent: Any) -> None:
        stop = signal.getsignal(signal.SIGTERM)

        def once(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            assert callable(stop)
            stop(number, frame)

        signal.signal(signal.SIGTERM, once)
