"""What a process has one of: an engine, a client, a thread that listens."""

import threading
from collections.abc import Callable
from functools import cache, update_wrapper
from typing import Generic, TypeVar

T = TypeVar("T")


class once(Generic[T]):
    """Calls the function the first time, and returns what it made from then on, to every thread.

    `functools.cache` lets two threads that come first make one each. With a client of Redis that is worse
    than waste: the one that nobody keeps is collected, and closes its connections under the thread whose
    pipeline still uses them.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        update_wrapper(self, make)
        self._made, self._making = cache(make), threading.Lock()

    def __call__(self) -> T:
        with self._making:
            return self._made()

    def cache_clear(self) -> None:
        """Make another one the next time."""
        with self._making:
            self._made.cache_clear()
