"""One thread of another process stands still, and the others go on (Linux, ptrace)."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import wait_until

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # waits for threads too
WAITS = {"232", "281"}  # epoll_wait and epoll_pwait, on x86-64

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def loop_of(pid: int) -> int:
    """The thread of a worker's event loop: besides Celery's, in the first thread, the only one that polls."""
    found: list[int] = []

    def look() -> bool:
        tasks = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
        found[:] = [task for task in tasks if task != pid and _polls(pid, task)]
        return bool(found)

    wait_until(look, what="an event loop polls")
    assert len(found) == 1, found
    return found[0]


@contextmanager
def frozen(pid: int, thread: int) -> Iterator[None]:
    """Stop the thread while it waits for events, for then it holds no lock that the others need."""
    _ptrace(PTRACE_SEIZE, thread)
    try:
        wait_until(lambda: _stop_while_it_polls(pid, thread), what="the loop is caught as it waits")
        yield
    finally:
        _ptrace(PTRACE_DETACH, thread)


def _stop_while_it_polls(pid: int, thread: int) -> bool:
    """Stop it; let it go on when it was about anything else."""
    polls = _polls(pid, thread)
    _ptrace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WALL)
    if polls and _polls(pid, thread):
        return True
    _ptrace(7, thread)  # PTRACE_CONT
    return False


def _polls(pid: int, thread: int) -> bool:
    try:
        return Path(f"/proc/{pid}/task/{thread}/syscall").read_text().split()[0] in WAITS
    except (FileNotFoundError, ProcessLookupError):
        return False


def _ptrace(request: int, thread: int) -> None:
    if _libc.ptrace(request, thread, None, None) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"ptrace({request}) of thread {thread}")
