"""One `penstock run`: find or submit the job, follow it, write its answers, print a summary."""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from rich.console import Console

from app.cli import faults, quote, report, target, words
from app.cli.client import Job, Quote, Rest
from app.cli.follow import calls_ended, follow
from app.cli.jobs import known, sending, spending, trying
from app.cli.order import Order
from app.cli.patience import DEFAULT, Patience
from app.cli.target import Target
from app.cli.views import view
from app.cli.waiting import say, waiting
from app.core.pause_reasons import LEFT
from app.errors import PenstockError, StackGone, StackRefused
from app.providers import registry
from app.providers.registry import SIMULATED
from app.stack.runs import Run
from config import settings


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller wants besides the order."""

    again: bool = False  # pay again for what was already answered
    retry_failed: bool = False  # ask again what failed, and nothing else
    yes: bool = False  # do not ask before spending
    patience: int = DEFAULT  # seconds without any answer, after which it gives up; 0: never


class Session:
    """What one run knows; all of it can be done over, as after a stack that went away."""

    def __init__(self, order: Order, wishes: Wishes) -> None:
        self._order, self._wishes = order, wishes
        self._settings = settings.read(os.environ)
        self._job: Job | None = None
        self._earlier: str | None = None  # a job with an equal fingerprint that is not resumed
        self._run: Run | None = None  # with which the job is paused; None: its stack lives on
        self._console = Console(stderr=True, highlight=False)
        self._patience = Patience(self._console, wishes.patience)

    def run(self) -> int:
        """Returns the exit code."""
        if not self._settings.penstock_url and not self._settings.data.exists():
            self._say(f"jobs and answers are kept in {self._settings.data} (PENSTOCK_DATA)")
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
            self._enter(stack)
            try:
                self._choose_model(stack.asks_claude)
                job = self._job = self._find(stack) or self._submit(stack.rest)
                if job is None:
                    self._let_go(stack.rest)
                    self._say("nothing was sent")
                    return faults.FAILED
                self._wishes = replace(self._wishes, again=False, retry_failed=False)  # this is the job
                job = self._try(stack.rest, self._follow(stack.rest, job))
                self._let_go(stack.rest, job)
                if self._patience.is_over(job):
                    self._patience.give_up(job)
                    return faults.FAILED
                answers = self._write(stack.rest, job)
                return report.tell(self._console, stack.rest, job, answers)
            except KeyboardInterrupt:
                if self._job:
                    self._leave(stack.rest, self._job)
                raise

    def _enter(self, stack: Target) -> None:
        """On a stack that ends with a command, the job is this command's, and paused when it ends."""
        if not stack.attached:
            self._run = None
        elif self._run is None:
            self._run = Run(self._settings.data)
        stack.rest.come_from(None if self._run is None else self._run.id)

    def _choose_model(self, asks_claude: bool | None) -> None:
        """Without a key only the simulated model can answer, and it must not be taken for the real thing."""
        if self._order.model is None and asks_claude is False:
            self._order = replace(self._order, model=SIMULATED.name)
        if self._order.model == SIMULATED.name:
            need = registry.needed_by_default(self._settings) if asks_claude is False else None
            report.warn_of_simulated(self._console, need)

    def _find(self, stack: Target) -> Job | None:
        """The job that this command submitted before: unfinished, or finished and not to be run again."""
        jobs = known.look(stack.rest)
        if stack.is_here:
            spending.tell_waiting(self._console, known.waiting(jobs, self._order))
        job = known.own(jobs, self._order)
        self._earlier = None if job is None else job["id"]
        found = None if job is None else self._take_up(stack.rest, job)
        sample = None if self._wishes.again else known.sample(jobs, self._order)
        self._order = replace(self._order, reuse=sample)
        return found

    def _take_up(self, rest: Rest, job: Job) -> Job | None:
        name = f"job {job['id']}"
        if trying.is_over(job):
            return job
        if not words.is_over(job):
            self._say(f"resuming {name}: {words.ended(job):,} of {job['total']:,} records have ended")
            if self._order.max_cost is not None:
                rest.change(job["id"], max_cost=self._order.max_cost)
            return job if job["status"] == "cancelling" else _resumed(rest, job)
        if self._wishes.retry_failed:
            return self._retry(rest, job)
        if job["status"] != "completed":
            self._say(f"an earlier {name} was {job['status']}: starting a new one")
            return None
        if self._wishes.again:
            return None
        self._say(f"{name} has already done this; nothing is run or paid for again (use --again to do so)")
        return job

    def _retry(self, rest: Rest, job: Job) -> Job:
        failed = job["counts"]["failed"] + job["counts"]["expired"]
        if not failed:
            self._say(f"no record of job {job['id']} failed: nothing is run or paid for again")
            return job
        self._say(f"job {job['id']}: running {failed:,} of {job['total']:,} records again, which failed")
        return rest.retry(job["id"])

    def _submit(self, rest: Rest) -> Job | None:
        """The new job; None if its owner does not want to pay for it."""
        file = self._order.file
        with self._waiting(f"estimating the cost of {file.name}"):
            found = sending.estimate(rest, self._console, self._order)
        if found is not None:
            quote.tell(self._console, found)
        if not self._may_spend(found):
            return None
        with self._waiting(f"sending {file.name}"):
            job = sending.send(rest, self._order, self._earlier)
        self._say(f"job {job['id']}: {words.records(job['total'])}")
        return job

    def _may_spend(self, found: Quote | None) -> bool:
        asked = self._order.model, self._order.max_cost, self._settings.ask_above
        if self._order.try_first is not None:
            return True  # its owner is asked when the price of all is known
        return self._wishes.yes or spending.is_allowed(self._console, found, *asked)

    def _follow(self, rest: Rest, job: Job) -> Job:
        """The job when it has ended, or is paused; not because an equal command ended, for this one lives."""
        while True:
            with view(self._console, self._order.file.name) as shown:
                job = follow(rest, job, shown, self._patience)
            if job["status"] != "paused" or not (job["status_reason"] or "").startswith(LEFT):
                return job
            job = _resumed(rest, job)

    def _try(self, rest: Rest, job: Job) -> Job:
        """The job; if it was tried on some rows and its owner says so, when the others have ended as well."""
        if not trying.is_over(job):
            return job
        trying.tell(self._console, rest, job)
        if not self._wishes.yes and not trying.goes_on(self._console, job):
            return job
        return self._follow(rest, _resumed(rest, job))

    def _write(self, rest: Rest, job: Job) -> report.Written:
        answers = report.write(rest, job, self._order, self._settings.data)
        if answers.kept is not None:
            self._say(f"what {answers.out.name} held before is kept as {answers.kept.name}")
        return answers

    def _let_go(self, rest: Rest, job: Job | None = None) -> None:
        """The command ends: pause its job if that still goes on, unless the stack lives on."""
        if self._run is None:
            return
        if job is not None and not words.is_over(job) and job["status"] != "paused":
            rest.act(job["id"], "pause")
        self._run.end()

    def _leave(self, rest: Rest, job: Job) -> None:
        """After Ctrl-C: let the job go, say what becomes of it, and write the answers so far."""
        self._say(report.farewell(job["id"], lives_on=self._run is None))  # first: Ctrl-C may come again
        try:
            job = rest.job(job["id"])
            self._let_go(rest, job)
            job = self._last_answers(rest, job)
            if words.ended(job) and not self._order.to_stdout:  # whoever reads that would take them for all
                answers = self._write(rest, job)
                ended = f"{words.ended(job):,} of {job['total']:,}"
                self._say(f"{ended} answers so far are in {answers.out}")
        except PenstockError as error:  # the stack is gone; the next one pauses the job before it begins
            self._say(str(error))

    def _last_answers(self, rest: Rest, job: Job) -> Job:
        """The job once its last calls have been answered; with a second Ctrl-C, as it is."""
        if self._run is None or not job["counts"]["running"]:
            return job
        try:
            with self._waiting("waiting for the calls under way (Ctrl-C: no longer)"):
                return calls_ended(rest, job["id"], self._settings.grace)
        except KeyboardInterrupt:
            return rest.job(job["id"])

    def _waiting(self, what: str) -> AbstractContextManager[object]:
        return waiting(self._console, what)

    def _say(self, line: str) -> None:
        say(self._console, line)


def _resumed(rest: Rest, job: Job) -> Job:
    """The job, which goes on; or as it is, if it has ended since it was read, as with an equal command."""
    try:
        return rest.act(job["id"], "resume")
    except StackRefused:
        found = rest.job(job["id"])
        if not words.is_over(found):
            raise
        return found
