"""What Celery writes to a terminal, without its log: left out where the log is JSON."""

import sys
from typing import Any

from celery.apps.beat import Beat

from config import settings


class _Nowhere:
    """Takes the place of `sys.__stdout__`, to which a worker writes its banner and that it stops.

    It has no `fileno`: where there is one, Celery writes to the descriptor.
    """

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


class QuietBeat(Beat):
    """A beat without its banner, which it prints before it sets up its log."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | ({"quiet": True} if is_unwanted() else {}))


def is_unwanted() -> bool:
    return settings.current().log_format == "json"


def silence() -> None:
    if is_unwanted():
        sys.__stdout__ = _Nowhere()  # type: ignore[misc, assignment]
