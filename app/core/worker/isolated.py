"""The process that asks quarantined records: `python -m app.core.worker.isolated WINDOW EPOCH`.

`app.core.worker.isolation` starts it. It is a slice worker without Celery, with a lease, a loop and a writer
of its own. It commits each record's outcome before it claims the next: if it dies, one record was in it.
"""

import ctypes
import json
import os
import signal
import sys
import time
from contextlib import suppress

from redis import RedisError

from app.core.measures import sharing
from app.core.pipeline.outcomes import Outcome, Written
from app.core.requests import job_context
from app.core.tracing import traces
from app.core.worker import process
from app.core.worker.reports.summary import Summary
from app.core.worker.slice import STARTS_FOR, Slice
from config import logs, settings
from models.record import Window
from models.session import reading

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class IsolatedSlice(Slice):
    """A slice with at most one record in hand, until that record's outcome is committed."""

    def _wanted(self) -> int:
        return 0 if self._uncommitted else min(1, super()._wanted())

    def _committed(self, outcome: Outcome, won: bool, group: Written) -> None:
        super()._committed(outcome, won, group)
        self._turns_due = False  # the next turn is not quarantined: other slices ask it


def main(window_id: int, epoch: int) -> None:
    """Ask the quarantined records of the window's job; writes the slice's summary to standard output."""
    chosen = settings.current()
    logs.configure(chosen.log_level, chosen.log_format)
    _end_with_worker()
    signal.signal(signal.SIGTERM, lambda *_: process.stop_current(chosen.grace))
    with reading() as session:
        window = session.get_one(Window, window_id)
    traces.start("isolated")
    try:
        with traces.slice({"traceparent": os.environ.get(traces.VARIABLE)}, (window_id, epoch), alone=True):
            summary = _ask(window)
    finally:
        process.end_current()
        traces.stop()
        with suppress(RedisError):
            sharing.hand_over()
    json.dump(summary.to_json(), sys.stdout)


def _ask(window: Window) -> Summary:
    job, until = job_context.of(window.job_id), time.monotonic() + STARTS_FOR
    return IsolatedSlice(process.current(), job, (window.id, window.epoch), None, until, _no_wake).run()


def _no_wake(job_id: int) -> None:
    """The worker that started this process wakes the job when it has ended."""


def _end_with_worker() -> None:
    """Stop in order when the worker is killed: its record is given back, and not under suspicion for that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
