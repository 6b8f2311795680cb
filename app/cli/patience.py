"""How long a run waits for a job that gets no answers, and what it says meanwhile."""

import time
from collections.abc import Callable
from datetime import datetime

from rich.console import Console

from app.cli import words, wrapping
from app.cli.client import Job

DEFAULT = 60  # seconds
AWAY = {
    "redis": "Redis does not answer, so no call may leave: check REDIS_URL, and that its server is running",
    "storage": "answers cannot be stored, so no call leaves: check DATABASE_URL, and that its disk has room",
}


class Patience:
    """Ends once no record was answered for `seconds`, counted from the first obstacle; 0: never."""

    def __init__(self, console: Console, seconds: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._seconds, self._clock = console, seconds, clock
        self._since: float | None = None  # the first obstacle since the last answer
        self._ended = -1  # records
        self._told = ""

    def see(self, job: Job) -> None:
        """Look at the job, and tell a new obstacle once."""
        if words.ended(job) != self._ended:
            self._ended, self._since = words.ended(job), None
        obstacle = obstacle_of(job)
        if not obstacle:
            return
        if self._since is None:
            self._since = self._clock()
        if obstacle != self._told:
            self._told = obstacle
            wrapping.tell(self._console, f"{obstacle}{next_try(job)}", style="yellow")

    def is_over(self, job: Job) -> bool:
        """Whether the run should give up on `job`, as it was seen last."""
        if not self._seconds or self._since is None or not obstacle_of(job):
            return False
        return self._clock() - self._since >= self._seconds

    @property
    def farewell(self) -> str:
        """Why the run ends."""
        return (
            f"no record was answered for {self._seconds} s: giving up on the run. The job is kept, and the"
            " same command resumes it; with --patience 0 it waits for ever"
        )


def obstacle_of(job: Job) -> str:
    """What keeps every record of the job from being answered, in a sentence; empty if nothing does.

    Limits, other jobs and slow answers are no obstacles: they end by themselves.
    """
    detail = job.get("limited_by_detail")
    return detail["message"] if detail else AWAY.get(job.get("limited_by") or "", "")


def next_try(job: Job) -> str:
    """` (next try at 14:03:20)`, by this machine's clock; empty where nobody knows."""
    detail = job.get("limited_by_detail") or {}
    at = detail.get("next_try_at")
    return f" (next try at {datetime.fromisoformat(at).astimezone():%H:%M:%S})" if at else ""
