"""How long a run waits for a job that gets no answers, and what it says meanwhile."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from app.cli import words, wrapping
from app.cli.client import Job

DEFAULT = 60  # seconds
# Seconds after which an obstacle is told. A job that a wrong address pauses is paused by then, with the same
# sentence for its reason. What was there when the run began may be left from an earlier one: a call tries it.
SETTLED = 2.5
EARLIER = 15.0
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
        self._first: dict[str, Any] | None = None  # what held the job when the run began
        self._seen, self._stands_since = "", 0.0  # the obstacle seen last, and since when no call tries it

    def see(self, job: Job) -> None:
        """Look at the job, and tell a new obstacle once."""
        if words.ended(job) != self._ended:
            self._ended, self._since = words.ended(job), None
        obstacle, now = obstacle_of(job), self._clock()
        if self._first is None:
            self._first = job.get("limited_by_detail") or {}
        if obstacle != self._seen or job["counts"]["running"]:
            self._seen, self._stands_since = obstacle, now
        if not obstacle:
            return
        if self._since is None:
            self._since = now
        if now - self._stands_since >= (EARLIER if _is_untried(job, self._first) else SETTLED):
            self._tell(obstacle, job)

    def _tell(self, obstacle: str, job: Job) -> None:
        if obstacle != self._told:
            self._told = obstacle
            wrapping.tell(self._console, f"{obstacle}{next_try(job)}", style="yellow")

    def is_over(self, job: Job) -> bool:
        """Whether the run should give up on `job`, as it was seen last."""
        if not self._seconds or self._since is None or not obstacle_of(job):
            return False
        return self._clock() - self._since >= self._seconds

    def give_up(self, job: Job) -> None:
        """Say why the run ends."""
        self._tell(obstacle_of(job), job)
        farewell = (
            f"no record was answered for {self._seconds} s: giving up on the run. The job is kept, and the"
            " same command resumes it; with --patience 0 it waits for ever"
        )
        wrapping.tell(self._console, farewell, style="dim")


def obstacle_of(job: Job) -> str:
    """What keeps every record of the job from being answered, in a sentence; empty if nothing does.

    Limits, other jobs and slow answers are no obstacles: they end by themselves.
    """
    detail = job.get("limited_by_detail")
    return detail["message"] if detail else AWAY.get(job.get("limited_by") or "", "")


def _is_untried(job: Job, first: dict[str, Any]) -> bool:
    """Whether the obstacle is still the `first` one, and no call has tried it since."""
    detail = job.get("limited_by_detail") or {"message": None}
    same = detail["message"] == first.get("message")
    return same and bool(first) and detail.get("next_try_at") in (first.get("next_try_at"), None)


def next_try(job: Job) -> str:
    """` (next try at 14:03:20)`, by this machine's clock; empty where nobody knows, or it is due already."""
    detail = job.get("limited_by_detail") or {}
    at = detail.get("next_try_at")
    if not at or (next_at := datetime.fromisoformat(at)) <= datetime.now(UTC):
        return ""
    return f" (next try at {next_at.astimezone():%H:%M:%S})"
