"""The tick and the sweep in a slice worker, for as long as no beat or no control worker runs them.

They run on a thread of their own: neither slices nor the event loop wait for it. What it publishes for the
control worker waits until there is one; until then the wake times in the rows carry jobs on.
"""

import threading
import time
from functools import partial

import structlog

from app.core.outages import servers
from app.core.pipeline import leases
from app.core.pipeline.sweeping import sweep_owner
from models.session import in_transaction
from tasks import sweep, ticker

log = structlog.get_logger()

CHECK = 10.0  # seconds between two checks whether a beat sweeps; one that has just started has swept by then
SWEEP = 5.0  # seconds between two sweeps, as in celeryconfig.py

_stopped = threading.Event()


def start() -> None:
    """Watch from now on; the thread ends with the process, or with `stop`."""
    _stopped.clear()
    threading.Thread(target=_watch, name="stand-in", daemon=True).start()


def stop() -> None:
    """Stop standing in."""
    _stopped.set()


def _watch() -> None:
    stood, swept_at = False, float("-inf")
    while not _stopped.wait(ticker.EVERY if stood else CHECK):
        try:
            stands = in_transaction(partial(sweep_owner.stands_in, worker=leases.name()))
            if stands != stood:
                log.warning("beat.gone" if stands else "beat.back")
            stood = stands
            if not stands:
                continue
            sweep.tick()
            if time.monotonic() - swept_at >= SWEEP:
                swept_at = time.monotonic()
                sweep.sweep_and_log()
        except Exception as error:  # the database or the broker is away; it may be back by the next check
            servers.tell(error, "tick")
