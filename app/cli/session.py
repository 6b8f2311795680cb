"""One `penstock run`: find or submit the job, follow it, write its answers, print a summary."""

import uuid
from contextlib import AbstractContextManager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

from rich.console import Console

from app.cli import faults, quote, report, target, words
from app.cli.client import Job, Quote, Rest
from app.cli.follow import follow
from app.cli.order import Order, content
from app.cli.views import view
from app.cli.waiting import say, waiting
from app.errors import StackGone, StackRefused, StackUnreachable
from app.providers.registry import SIMULATED

NO_QUOTES = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)  # of a stack older than quotes
LOOKED_AT = 1_000  # the newest jobs that are searched for an equal fingerprint


class Session:
    """What one run knows; all of it can be done over, as after a stack that went away."""

    def __init__(self, order: Order, *, again: bool) -> None:
        self._order, self._again = order, again
        self._job: Job | None = None
        self._earlier: str | None = None  # a job with an equal fingerprint that is not resumed
        self._stays = False  # whether the stack keeps running when this run ends
        self._console = Console(stderr=True, highlight=False)

    def run(self) -> int:
        """Returns the exit code."""
        try:
            return self._answer_in_spite_of_the_stack()
        except KeyboardInterrupt:
            if self._job is None:
                self._say("stopped before the job was submitted; the same command starts it, or finds it")
            return faults.INTERRUPTED

    def _answer_in_spite_of_the_stack(self) -> int:
        """Another run's stack ends with that run: then this one continues with its own."""
        try:
            return self._answer()
        except StackGone as gone:
            self._say(f"{gone}; continuing with another stack")
            return self._answer()

    def _answer(self) -> int:
        with target.any_stack(self._waiting) as stack:
            self._stays = not stack.ends_with_us
            try:
                self._choose_model(stack.asks_claude)
                job = self._job = self._find(stack.rest) or self._submit(stack.rest)
                self._again = False  # this is the job, whatever becomes of the stack
                with view(self._console, self._order.file.name) as shown:
                    job = follow(stack.rest, job, shown)
                written = report.write(stack.rest, job, self._order)
                return report.tell(self._console, stack.rest, job, written)
            except KeyboardInterrupt:
                if self._job:
                    self._say(self._farewell(self._job))
                raise

    def _choose_model(self, asks_claude: bool | None) -> None:
        """Without a key only the simulated model can answer, and it must not be taken for the real thing."""
        if self._order.model is None and asks_claude is False:
            self._order = replace(self._order, model=SIMULATED.name)
        if self._order.model == SIMULATED.name:
            report.warn_of_simulated(self._console, no_key=asks_claude is False)

    def _find(self, rest: Rest) -> Job | None:
        """The job that this command submitted before: unfinished, or finished and not to be run again."""
        fingerprint = self._order.fingerprint()
        for number, job in enumerate(rest.jobs()):
            if number == LOOKED_AT:
                return None
            if job["metadata"].get("run_fingerprint") == fingerprint:
                self._earlier = job["id"]
                return self._take_up(rest, job)
        return None

    def _take_up(self, rest: Rest, job: Job) -> Job | None:
        name = f"job {job['id']}"
        if not words.is_over(job):
            self._say(f"resuming {name}: {words.ended(job):,} of {job['total']:,} records have ended")
            if self._order.max_cost is not None:
                rest.change(job["id"], max_cost=self._order.max_cost)
            return rest.act(job["id"], "resume") if job["status"] == "paused" else job
        if job["status"] != "completed":
            self._say(f"an earlier {name} was {job['status']}: starting a new one")
            return None
        if self._again:
            return None
        self._say(f"{name} has already done this; nothing is run or paid for again (use --again to do so)")
        return job

    def _submit(self, rest: Rest) -> Job:
        with content(self._order) as file:
            with self._waiting(f"estimating the cost of {self._order.file.name}"):
                found = self._estimate(rest, file)
            if found is not None:
                quote.tell(self._console, found)
            with self._waiting(f"sending {self._order.file.name}"):
                job = self._send(rest, file)
        self._say(f"job {job['id']}: {job['total']:,} records")
        return job

    def _estimate(self, rest: Rest, file: Path) -> Quote | None:
        """The quote; None when there is none, which does not stop the run. Bad input is already reported."""
        try:
            return rest.estimate(file, self._order.fields())
        except StackRefused as refusal:
            if refusal.status in faults.REFUSES_INPUT:
                raise
            if refusal.status not in NO_QUOTES:
                self._say(f"no quote: {refusal}")
        except StackUnreachable as error:
            self._say(f"no quote: {error}")
        return None

    def _send(self, rest: Rest, file: Path) -> Job:
        fields = self._order.fields()
        try:
            return rest.submit(file, fields, self._order.key(self._earlier))
        except StackRefused as refusal:
            if refusal.status != HTTPStatus.CONFLICT or refusal.retry_after is not None:
                raise
        return rest.submit(file, fields, uuid.uuid4().hex)  # the job with the first key was deleted

    def _farewell(self, job: Job) -> str:
        """What happens to the job after Ctrl-C."""
        if self._stays:
            cancel = f"penstock jobs cancel {job['id']}"
            return f"the job continues; the same command follows it again, `{cancel}` ends it"
        return "stopping; the job is kept, and the same command resumes it"

    def _waiting(self, what: str) -> AbstractContextManager[object]:
        return waiting(self._console, what)

    def _say(self, line: str) -> None:
        say(self._console, line)
