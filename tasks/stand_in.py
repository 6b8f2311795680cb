"""The tick and the sweep in a slice worker, for as long as no beat or no control worker does them.

A thread of its own: neither slices nor the event loop wait for it. What it publishes for the control worker
lies there until one comes; until then it is the wake times in the rows that carry a job on.
"""

import threading
import time
from functools import partial

import structlog

from app.core.pipeline import leases, sweep_owner
from models.session import in_transaction
from tasks import sweep, ticker

log = structlog.get_logger()

LOOK = 10.0  # seconds between two looks at whether somebody sweeps; a beat that starts has swept by then
SWEEP = 5.0  # seconds between two of them, as in celeryconfig.py

_over = threading.Event()


def start() -> None:
    """Watch from now on; the thread ends with the process, or with `stop`."""
    _over.clear()
    threading.Thread(target=_watch, name="stand-in", daemon=True).start()


def stop() -> None:
    """Stand in no more."""
    _over.set()


def _watch() -> None:
    stood, swept_at = False, float("-inf")
    while not _over.wait(ticker.EVERY if stood else LOOK):
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
                sweep.sweep_and_tell()
        except Exception as error:  # the database or the broker is away; the next look may find it
            log.warning("stand_in.failed", error=type(error).__name__)
