"""Turns at claiming: the slices of a window in one process claim one after the other, and for each other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """In the database they would wait for each other, and together claim more than there is room for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[T, None] = {}  # in the order in which they came

    @contextmanager
    def taken(self, by: T) -> Iterator[list[T]]:
        """Have the turn; yields those that wait for theirs, and stand still for as long as this lasts."""
        self._waiting[by] = None
        with self._lock:
            del self._waiting[by]
            yield list(self._waiting)
