"""Keeps the children alive, and ends them in order."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType

from app.stack.child import Child
from app.stack.keeper import Keeper

TICK = 0.1  # seconds between two checks of the children while waiting for something
WATCH = 0.5  # and otherwise
HURRIED = 1.0  # seconds from SIGTERM to SIGKILL after the second Ctrl-C


class Supervisor:
    """Children in stages: started in the order in which they were added, ended in reverse.

    `say` shows one line to the user. Nothing here runs in a thread: a signal only increments `asked`.
    """

    def __init__(
        self,
        keeper: Keeper,
        say: Callable[[str], None],
        *,
        parent: int | None = None,
        chore: Callable[[], None] = lambda: None,
    ) -> None:
        """The end of the process `parent` counts as a signal to stop. `chore` is done at each look; it leaves
        no thread and no connection behind.
        """
        self.asked = 0  # how often a stop was requested
        self._keeper, self._say, self._parent, self._chore = keeper, say, parent, chore
        self._stages: list[Sequence[Child]] = []

    def obey_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def add(self, *stage: Child) -> None:
        """Start the children of one stage."""
        self._stages.append(stage)
        for child in stage:
            self._start(child)

    def wait_until(self, fact: Callable[[], bool], seconds: float) -> bool:
        """Look after the children until `fact()`; False when `seconds` have passed or a stop came first."""
        deadline = time.monotonic() + seconds
        while not self.asked and time.monotonic() < deadline:
            if fact():
                return True
            self.look()
            time.sleep(TICK)
        return False

    def watch(self) -> None:
        """Look after the children until a stop is requested."""
        while not self.asked:
            self.look()
            time.sleep(WATCH)

    def look(self) -> None:
        """Restart the children that died, when their time has come."""
        self._keeper.check()
        self._chore()
        if self._parent is not None and os.getppid() != self._parent:
            self.asked += 1
        for child in self._children():
            child.keep_log_small()
            if child.due_at is not None:
                if time.monotonic() >= child.due_at:
                    self._start(child)
            elif not child.is_alive():
                self._bury(child)

    def stop(self) -> None:
        """End every stage, the last one first; what does not end in time is killed."""
        for stage in reversed(self._stages):
            started = time.monotonic()
            for child in stage:
                child.signal(signal.SIGTERM)
            for child in stage:
                self._await_end(child, started)
        self._keeper.close()

    def _children(self) -> list[Child]:
        return [child for stage in self._stages for child in stage]

    def _start(self, child: Child) -> None:
        self._keeper.add(child.start())

    def _bury(self, child: Child) -> None:
        """Clean up after a dead child and schedule its restart."""
        self._clear(child)
        age = child.age
        wait = child.put_off()
        words = child.last_words()
        self._say(
            f"{child.name} ended after {age:.0f} s with {child.ending()}; restarting in {wait:.0f} s; log:"
            f" {child.log}" + (f"\n    {words}" if words else "")
        )

    def _await_end(self, child: Child, started: float) -> None:
        while child.is_alive():
            patience = min(child.patience, HURRIED) if self.asked > 1 else child.patience
            if time.monotonic() - started >= patience:
                self._say(f"{child.name} did not end within {patience:.0f} s: killing it")
                break
            time.sleep(TICK)
        self._clear(child)

    def _clear(self, child: Child) -> None:
        """A group's first process may leave others behind: the web's worker, beat."""
        if child.process is not None and child.due_at is None:  # otherwise it was cleaned up when it died
            child.kill()
            self._keeper.remove(child.pid)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1
