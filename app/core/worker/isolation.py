"""Records under suspicion, asked in a process of their own: `app.core.worker.isolated` is what runs in it."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from app.core.pipeline import quarantine
from app.core.worker.process import Process
from models.record import Window
from models.session import reading

log = structlog.get_logger()

LISTEN = 0.5  # seconds between two looks at whether this worker is to stop

_turn = threading.Lock()  # one such process a worker: each of them is as large as a worker


def ask(here: Process, window: Window, wake: Callable[[int], None]) -> dict[str, int]:
    """Ask what the window offers, one record after the other; returns the sums that a slice returns.

    The process ends with what is waiting, with its time, or with this worker. Whether it died is for the
    sweep to find, as it is of any process.
    """
    with here.served.serving(window.job_id, window.id), _in_turn(here) as mine:
        if not mine or not _is_there(window):
            return {}
        command = [sys.executable, "-m", "app.core.worker.isolated", str(window.id), str(window.epoch)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as isolated:  # noqa: S603 - ours
            summary = _wait(here, isolated)
        wake(window.job_id)
        if isolated.returncode:
            log.warning("alone.died", job=window.job_id, code=isolated.returncode)
            return {}
        return dict(json.loads(summary))


@contextmanager
def _in_turn(here: Process) -> Iterator[bool]:
    """Wait for the worker's turn; False when the worker is to stop before it comes."""
    while not (mine := _turn.acquire(timeout=LISTEN)) and not here.stopping:
        pass
    try:
        yield mine and not here.stopping
    finally:
        if mine:
            _turn.release()


def _is_there(window: Window) -> bool:
    """Whether a slice before this one has left anything: a process takes seconds to start."""
    with reading() as session:
        return quarantine.count(session, window.job_id, 1) > 0


def _wait(here: Process, isolated: "subprocess.Popen[bytes]") -> bytes:
    asked_to_stop = False
    while True:
        try:
            return isolated.communicate(timeout=LISTEN)[0]
        except subprocess.TimeoutExpired:
            if here.stopping and not asked_to_stop:
                isolated.terminate()
                asked_to_stop = True
