"""How long the first byte of a call's answer took.

A call and whoever makes it are one asyncio task, so that the transport's note is where the maker looks, and
no provider's client has to pass it on. A call that others share, of an inference server, has none.
"""

import time
from contextvars import ContextVar

_began_at: ContextVar[float] = ContextVar("first_byte.began_at", default=0.0)  # monotonic
_took: ContextVar[float | None] = ContextVar("first_byte.took", default=None)  # seconds


def expect() -> None:
    """A call leaves."""
    _began_at.set(time.monotonic())
    _took.set(None)


def note() -> None:
    """The first byte of its answer is here."""
    _took.set(time.monotonic() - _began_at.get())


def took() -> float | None:
    """Seconds that it took; None: there was none, or nobody noted it."""
    return _took.get()
