"""The tick: once a second in every control worker, on a thread of its own.

Not a task of beat's: a message a second through the broker costs an idle stack as much as all the rest, and
what the tick does is needed when the broker is away, too. Two of them do no harm.
"""

import threading

import structlog

from tasks import sweep

log = structlog.get_logger()

EVERY = 1.0  # seconds

_over = threading.Event()


def start() -> None:
    """Tick from now on; the thread ends with the process, or with `stop`."""
    _over.clear()
    threading.Thread(target=_run, name="ticker", daemon=True).start()


def stop() -> None:
    _over.set()


def _run() -> None:
    while not _over.wait(EVERY):
        try:
            sweep.tick()
        except Exception as error:  # the database or the broker is away; the next tick may find it
            log.warning("tick.failed", error=type(error).__name__)
