"""The supervisor, its keeper and its locks, over real child processes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest

from app.errors import Conflict
from app.stack import child as children
from app.stack import copies
from app.stack.lock import Lock, Running, holder
from tests.support.servers import wait_until

# A supervisor as a process of its own: two stages of children, what it says on its standard output.
SUPERVISED = """
import os, sys
from pathlib import Path
from app.stack.child import Child
from app.stack.keeper import Keeper
from app.stack import child as children
from app.stack.lock import Lock
from app.stack.supervisor import Supervisor

folder = Path(sys.argv[1])
lock = Lock(folder)
assert lock.is_clear()
parent = os.getppid() if "attached" in sys.argv else None
copied = "copied" in sys.argv
sys.path.append(str(folder))
supervisor = Supervisor(Keeper(patience=2.0), lambda line: print(line, flush=True), parent=parent)
supervisor.obey_signals()
def child(name, script, patience=5.0):
    command = [sys.executable, "-u", "-c", script]
    if copied:
        (folder / f"{name}_script.py").write_text(script)
        command = [sys.executable, "-m", f"{name}_script"]
    log = folder / f"{name}.log"
    return Child(name, command, log, patience, (lock.processes,), copied=copied)
supervisor.add(child("first", FIRST))
supervisor.add(child("second", SECOND))
print("watching", flush=True)
try:
    supervisor.watch()
finally:
    print("stopping", flush=True)
    supervisor.stop()
print("stopped", flush=True)
"""

# Has a child of its own, and says the pids of both.
PARENT = """
import os, signal, subprocess, sys, time
sys.stdout.reconfigure(line_buffering=True)
def end(*_):
    print(f"ended {time.monotonic()}"); inner.kill(); inner.wait(); sys.exit(0)
signal.signal(signal.SIGTERM, ON_SIGTERM)
inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(f"pids {os.getpid()} {inner.pid}")
while True: time.sleep(0.05)
"""

# Ends on SIGTERM, and its child with it.
POLITE = PARENT.replace("ON_SIGTERM", "end")

# Does not end on SIGTERM, and neither does its child.
STUBBORN = PARENT.replace("ON_SIGTERM", "signal.SIG_IGN")

# Says what it is, after a Ctrl-C.
TELLING = """
import json, os, signal, threading, time
from pathlib import Path
interrupted = False
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    interrupted = True
held = [os.readlink(path) for path in sorted(Path("/proc/self/fd").iterdir(), key=lambda path: int(path.name))
        if path.exists()]
print(json.dumps({
    "pid": os.getpid(), "group": os.getpgrp(), "threads": threading.active_count(),
    "interrupted": interrupted, "held": held,
    "name": Path("/proc/self/cmdline").read_bytes().replace(b"\\0", b" ").decode(),
}), flush=True)
while True: time.sleep(0.05)
"""

BROKEN = "import sys; print('no such thing as a turbine'); sys.exit(3)"


class Supervised:
    """A running supervisor of two children."""

    def __init__(self, folder: Path, first: str, second: str, how: str) -> None:
        self.folder = folder
        script = textwrap.dedent(SUPERVISED).replace("FIRST", repr(first)).replace("SECOND", repr(second))
        self.said = folder / "said"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", script, str(folder), how], stdout=said, stderr=said
            )

    def says(self, text: str, seconds: float = 10) -> None:
        wait_until(lambda: text in self.said.read_text(), seconds=seconds, what=f"{text!r} is said")

    def pids(self, name: str, starts: int = 1) -> list[int]:
        """The pids of child `name` and of its own child, once it has been started `starts` times."""
        log = self.folder / f"{name}.log"
        wait_until(lambda: log.exists() and log.read_text().count("pids ") >= starts, what=f"{name} runs")
        return [int(pid) for pid in log.read_text().split("pids ")[-1].split()[:2]]

    def ended_at(self, name: str) -> float:
        return float((self.folder / f"{name}.log").read_text().split("ended ")[1].split()[0])


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(params=["executed", "copied"] if copies.POSSIBLE else ["executed"])
def supervise(request, tmp_path):
    """Starts a supervisor whose children are new interpreters, or copies of it."""
    started = []

    def start(first: str, second: str) -> Supervised:
        started.append(Supervised(tmp_path, first, second, request.param))
        return started[-1]

    yield start
    for supervised in started:
        if supervised.process.poll() is None:
            supervised.process.kill()
        supervised.process.wait()


def test_a_child_that_dies_is_started_again_and_what_it_left_behind_is_cleared_away(supervise):
    # Given
    stack = supervise(POLITE, POLITE)
    pid, inner = stack.pids("second")
    # When
    os.kill(pid, signal.SIGKILL)
    # Then
    stack.says("s with signal 9 (SIGKILL); restarting in 1 s; log: ")
    assert stack.pids("second", starts=2)[0] != pid
    assert not lives(inner)


def test_a_child_that_keeps_dying_comes_again_later_each_time_and_its_last_words_are_told(supervise):
    # Given
    stack = supervise(POLITE, BROKEN)
    # Then
    stack.says("s with exit code 3; restarting in 1 s")
    stack.says("no such thing as a turbine")
    stack.says("restarting in 2 s")


def test_a_child_has_nothing_of_its_supervisor_but_what_it_is_given(supervise, tmp_path):
    # Given
    supervise(POLITE, TELLING)
    log = tmp_path / "second.log"
    wait_until(lambda: log.exists() and log.read_text().endswith("}\n"), what="the child has told")
    # Then
    told = json.loads(log.read_text())
    assert told["group"] == told["pid"]
    assert set(told["held"]) == {"/dev/null", str(log), str(tmp_path / "processes.lock")}
    assert told["threads"] == 1
    assert sys.executable in told["name"] or "second_script" in told["name"]
    assert told["interrupted"]


def test_children_end_in_the_opposite_order_of_their_start(supervise):
    # Given
    stack = supervise(POLITE, POLITE)
    pids = stack.pids("first") + stack.pids("second")
    # When
    stack.process.send_signal(signal.SIGTERM)
    # Then
    assert stack.process.wait(10) == 0
    assert stack.ended_at("second") < stack.ended_at("first")
    assert not any(map(lives, pids))


def test_a_second_signal_hurries_a_child_that_does_not_end(supervise):
    # Given
    stack = supervise(POLITE, STUBBORN)
    pids = stack.pids("first") + stack.pids("second")
    # When
    stack.process.send_signal(signal.SIGINT)
    stack.says("stopping")
    stack.process.send_signal(signal.SIGINT)
    # Then
    stack.says("second did not end within 1 s: killing it")
    assert stack.process.wait(10) == 0
    assert not any(map(lives, pids))


def test_kill_9_of_the_supervisor_ends_every_child_and_grandchild(supervise):
    # Given
    stack = supervise(POLITE, STUBBORN)
    pids = stack.pids("first") + stack.pids("second")
    # When
    stack.process.kill()
    # Then
    wait_until(lambda: not any(map(lives, pids)), seconds=6, what="every process has ended")


def test_a_stack_that_runs_for_another_process_ends_in_order_when_that_one_is_killed(tmp_path):
    # Given
    supervised = SUPERVISED.replace("FIRST", repr(POLITE)).replace("SECOND", repr(POLITE))
    script = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    command = [sys.executable, "-c", supervised, str(tmp_path), "attached"]
    said = tmp_path / "said"
    with said.open("wb") as output:
        parent = subprocess.Popen([sys.executable, "-c", script, *command], stdout=output, stderr=output)
    wait_until(lambda: "watching" in said.read_text(), what="the stack runs")
    logs = [tmp_path / f"{name}.log" for name in ("first", "second")]
    wait_until(lambda: all("pids " in log.read_text() for log in logs), what="both children run")
    # When
    parent.kill()
    parent.wait()
    # Then
    wait_until(lambda: "stopped" in said.read_text(), what="it stops by itself")
    pids = [int(pid) for log in logs for pid in log.read_text().split("pids ")[1].split()[:2]]
    assert not any(map(lives, pids))
    first, second = (float(log.read_text().split("ended ")[1].split()[0]) for log in logs)
    assert second < first


def test_the_keeper_is_started_again_and_still_knows_the_children(supervise):
    # Given
    stack = supervise(POLITE, STUBBORN)
    pids = stack.pids("first") + stack.pids("second")
    keeper = keeper_of(stack.process.pid)
    # When
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: keeper_of(stack.process.pid) not in (keeper, None), what="another keeper")
    stack.process.kill()
    # Then
    wait_until(lambda: not any(map(lives, pids)), seconds=6, what="every process has ended")


def keeper_of(supervisor: int) -> int | None:
    for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            if "keeper.py" in Path(f"/proc/{pid}/cmdline").read_text() and lives(int(pid)):
                return int(pid)
    return None


def test_a_log_does_not_grow_without_end_while_its_child_goes_on_writing(tmp_path, monkeypatch):
    # Given
    monkeypatch.setattr(children, "LARGEST_LOG", 1_000)
    script = "import time\nwhile True: print('a line of the log'); time.sleep(0.001)"
    log = tmp_path / "child.log"
    child = children.Child("child", [sys.executable, "-u", "-c", script], log, patience=1)
    child.start()
    # When
    wait_until(lambda: log.exists() and log.stat().st_size > 1_000, what="a large log")
    child.keep_log_small()
    # Then
    wait_until(
        lambda: 0 < log.stat().st_size < 1_000 or child.keep_log_small(), what="it goes on in a small one"
    )
    assert log.read_bytes().startswith(b"a line of the log")
    assert log.with_suffix(".log.1").stat().st_size > 1_000
    child.kill()


def test_a_second_stack_on_the_same_data_is_refused_with_the_pid_of_the_first(supervise, tmp_path):
    # Given
    stack = supervise(POLITE, POLITE)
    stack.says("watching")
    (tmp_path / "up.lock").write_text(
        json.dumps({"pid": 4711, "address": "http://127.0.0.1:1", "redis_url": "", "asks_claude": False})
    )
    # When / Then
    with pytest.raises(Conflict, match="process 4711"):
        Lock(tmp_path)


def test_the_lock_is_free_at_once_after_kill_9_and_the_processes_lock_when_the_last_child_has_ended(
    supervise, tmp_path
):
    # Given
    stack = supervise(POLITE, STUBBORN)
    stack.pids("second")
    # When
    stack.process.kill()
    stack.process.wait()
    # Then
    lock = Lock(tmp_path)
    assert not lock.is_clear()
    lock.wait_for_the_last(6)


def test_who_holds_a_directory_is_known_only_while_it_does(tmp_path):
    # Given
    assert holder(tmp_path) is None
    lock = Lock(tmp_path)
    running = Running(os.getpid(), "http://127.0.0.1:8000", "redis://127.0.0.1:1/0", asks_claude=False)
    # When
    lock.tell(running)
    # Then
    assert holder(tmp_path) == running
    assert (tmp_path / "up.lock").stat().st_mode & 0o777 == 0o600
    os.close(lock._fd)
    assert holder(tmp_path) is None
