"""Asks quarantined records in a process of their own, which runs `app.core.worker.isolated`."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from app.core.pipeline import quarantine
from app.core.tracing import traces
from app.core.worker.process import Process
from app.core.worker.reports.summary import Summary
from models.record import Window
from models.session import reading

log = structlog.get_logger()

POLL = 0.5  # seconds between two checks whether this worker is to stop

_turn = threading.Lock()  # one such process a worker: each of them is as large as a worker


def ask(process: Process, window: Window, wake: Callable[[int], None]) -> Summary | str:
    """Ask the window's records one after the other; returns what a slice does, or why there is none.

    The process ends when no record waits any more, when its time is over, or when this worker stops. If it
    dies, the sweep finds its records, as it does those of any process.
    """
    with process.served.serving(window.job_id, window.id), _in_turn(process) as acquired:
        if not acquired or not _any_quarantined(window):
            return Summary()
        command = [sys.executable, "-m", "app.core.worker.isolated", str(window.id), str(window.epoch)]
        environment = {**os.environ, **traces.environment()}
        with subprocess.Popen(  # noqa: S603 - ours
            command, stdout=subprocess.PIPE, env=environment, start_new_session=True
        ) as isolated:
            summary = _wait(process, isolated)
        wake(window.job_id)
        if isolated.returncode:
            log.warning("alone.died", job=window.job_id, code=isolated.returncode)
            return f"the process that asked records alone died ({isolated.returncode})"
        return Summary.from_json(json.loads(summary))


@contextmanager
def _in_turn(process: Process) -> Iterator[bool]:
    """Wait until this worker has no other such process; yields False when the worker is to stop."""
    while not (acquired := _turn.acquire(timeout=POLL)) and not process.stopping:
        pass
    try:
        yield acquired and not process.stopping
    finally:
        if acquired:
            _turn.release()


def _any_quarantined(window: Window) -> bool:
    """Whether earlier slices have left any record: a process takes seconds to start."""
    with reading() as session:
        return quarantine.count(session, window.job_id, 1) > 0


def _wait(process: Process, isolated: "subprocess.Popen[bytes]") -> bytes:
    terminated = False
    while True:
        try:
            return isolated.communicate(timeout=POLL)[0]
        except subprocess.TimeoutExpired:
            if process.stopping and not terminated:
                isolated.terminate()
                terminated = True
