"""Calls that may never return: a stopped server keeps its connections, and drivers wait on them for ever."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from app.errors import Unavailable

T = TypeVar("T")


class Run(Generic[T]):
    """One run of the work, on a thread that may outlive every caller that waits for it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.ended_at: float | None = None
        self._work = work
        self._done = threading.Event()
        self._result: T | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._execute, name="bounded", daemon=True).start()

    def result(self, patience: float) -> T:
        """What the work returned or raised; `Unavailable` when it has not ended within `patience` seconds."""
        if not self._done.wait(patience):
            raise Unavailable(f"no answer within {patience:.2g} s")
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]

    def _execute(self) -> None:
        try:
            self._result = self._work()
        except Exception as error:
            self._error = error
        self.ended_at = time.monotonic()
        self._done.set()


class Bounded(Generic[T]):
    """`work`, waited for no longer than `patience` seconds, and its result kept for `keep` seconds.

    Runs never overlap: a caller that comes during one waits for it, so that a stopped server costs one
    thread, not one for each caller.
    """

    def __init__(self, work: Callable[[], T], *, patience: float, keep: float = 0.0) -> None:
        self._work, self._patience, self._keep = work, patience, keep
        self._lock = threading.Lock()
        self._run: Run[T] | None = None

    def get(self) -> T:
        """The result; raises what the work raised, or `Unavailable` when it does not end in time."""
        return self._current().result(self._patience)

    def _current(self) -> Run[T]:
        with self._lock:
            run = self._run
            if run is None or (run.ended_at is not None and time.monotonic() - run.ended_at >= self._keep):
                run = self._run = Run(self._work)
            return run
