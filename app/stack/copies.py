"""Forks of this process that continue as `python -m MODULE …`.

A new interpreter imports for a second what each process of a stack needs, and a stack has five. A fork has it
already, shares its memory, and restarts at once when it dies. The process that forks must be at rest: one
thread, and no open connection. Linux only: elsewhere system libraries do not survive a fork.
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

# What the web process and the workers import before they serve. Providers' SDKs are not included: they take
# half as long as all the rest, and workers import the ones they need while starting.
NEEDED = (
    "app.factory",
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.bin.celery",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "gunicorn.app.wsgiapp",
    "app.server.worker",
    "kombu.transport.redis",
    "tasks.celery",
)
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_fork = multiprocessing.get_context("fork") if POSSIBLE else None


def prepare() -> None:
    """Import what forks need, and keep the garbage collector off it: touching a page copies it, and while
    modules come, of which nothing is garbage, it would take a quarter of the time.
    """
    gc.disable()
    for module in NEEDED:
        importlib.import_module(module)
    importlib.import_module("tasks.celery").app.loader.import_default_modules()
    gc.freeze()
    gc.enable()


class Copy:
    """`python -m MODULE …` in a fork and a process group of its own, with the interface of
    `subprocess.Popen`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        log: int,
        inherits: Sequence[int],
        niceness: int,
    ) -> None:
        """`log` and `inherits` are file descriptors; the fork has no others."""
        assert _fork is not None
        given = (os.getpid(), list(command), folder, log, set(inherits), niceness)
        self._process = _fork.Process(target=_live, args=given)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # until the fork takes them over
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        assert self._process.pid is not None
        self.pid = self._process.pid
        _lead_a_group(self.pid)  # set here and in the fork: either may need the group first

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
    """The fork's own life; its caller never continues, because `multiprocessing` ends it with `os._exit`."""
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
    """The fork must not hold this process's descriptors: a pipe held here would hide its end from its reader.

    Each number stays taken, by nothing: an inherited object that is garbage-collected later closes its
    number, and must not close a file that was given the number since. SQLite cannot read a database after
    that.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if number not in kept | {nothing}:
            os.dup2(nothing, number, inheritable=number == 0)
