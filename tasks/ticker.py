"""The tick: once a second in every control worker, on a thread of its own.

Not a task of beat's: a message a second through the broker costs an idle stack as much as all the rest, and
the tick is needed when the broker is away, too. Two ticks at once do no harm.
"""

import threading

from app.core.outages import servers
from tasks import sweep

EVERY = 1.0  # seconds

_stopped = threading.Event()


def start() -> None:
    """Tick from now on; the thread ends with the process, or with `stop`."""
    _stopped.clear()
    threading.Thread(target=_run, name="ticker", daemon=True).start()


def stop() -> None:
    _stopped.set()


def _run() -> None:
    while not _stopped.wait(EVERY):
        try:
            sweep.tick()
        except Exception as error:  # the database or the broker is away; it may be back by the next tick
            servers.tell(error, "tick")
