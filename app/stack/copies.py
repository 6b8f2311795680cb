"""Copies of this process that go on as `python -m MODULE …`.

A new interpreter imports for a second what each process of a stack needs, and a stack has five. A copy has it
already, shares the memory of it, and comes back in no time when it died. What is copied must be at rest: one
thread, and no connection of its own in use. On Linux alone: elsewhere system libraries do not stand it.
"""

import gc
import importlib
import multiprocessing
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from setproctitle import setproctitle

from app.stack import tether

POSSIBLE = sys.platform == "linux"

# What the web and the workers import before they serve. Providers' SDKs are not among it: they take half as
# long as all the rest, and workers import those that they need beside their start.
NEEDED = (
    "app.factory",
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.bin.celery",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "kombu.transport.redis",
    "tasks.celery",
)
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_fork = multiprocessing.get_context("fork") if POSSIBLE else None


def prepare() -> None:
    """Import what copies need, and keep the garbage collector off it: looking at a page makes it two."""
    for module in NEEDED:
        importlib.import_module(module)
    importlib.import_module("tasks.celery").app.loader.import_default_modules()
    gc.freeze()


class Copy:
    """`python -m MODULE …` in a copy and a process group of its own, with what `subprocess.Popen` has."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        log: int,
        inherits: Sequence[int],
        niceness: int,
    ) -> None:
        """`log` and `inherits` are file descriptors; the copy has no others."""
        assert _fork is not None
        given = (os.getpid(), list(command), folder, log, set(inherits), niceness)
        self._process = _fork.Process(target=_live, args=given)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # until the copy takes them as its own
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        assert self._process.pid is not None
        self.pid = self._process.pid
        _lead_a_group(self.pid)  # here as well as there: whoever needs the group may come first

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        """Its exit code once it has ended, as `Popen` has it."""
        return self._process.exitcode

    def wait(self) -> None:
        self._process.join()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _live(
    parent: int,
    command: list[str],
    folder: Path,
    log: int,
    inherits: set[int],
    niceness: int,
) -> None:
    """The copy's own life; what called this never goes on, for `multiprocessing` ends it with `os._exit`."""
    _lead_a_group(0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    _let_go_of_all_but(inherits | {1, 2})
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    tether.tie(parent, niceness)
    os.chdir(folder)
    sys.path[0] = str(folder)
    setproctitle(" ".join(command))
    module, *arguments = command[command.index("-m") + 1 :]
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def _lead_a_group(pid: int) -> None:
    try:
        os.setpgid(pid, pid)
    except (PermissionError, ProcessLookupError):
        pass  # it has ended already


def _let_go_of_all_but(kept: set[int]) -> None:
    """What this process holds is not the copy's: a pipe held here would hide its end from who reads it.

    Each number stays taken, by nothing: an object that came along and is found to be garbage closes it yet,
    and must not close a file that was given the number since. SQLite cannot read a database after that.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if number not in kept | {nothing}:
            os.dup2(nothing, number, inheritable=number == 0)
