"""One record on the event loop: its calls, what follows from each, and its outcome."""

import asyncio
import datetime as dt
import json
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from app.core import ledger, requests, retries
from app.core.claims import Claim
from app.core.context import JobContext
from app.core.ledger import Call
from app.core.limiter import LATE
from app.core.outcomes import Outcome, Written
from app.errors import (
    AccountRefused,
    BadAnswer,
    Blame,
    ConnectionCut,
    ProviderError,
    RequestRejected,
    TimedOut,
    Unreachable,
)
from app.providers.client import Reply
from config import settings
from models.record import RecordStatus

if TYPE_CHECKING:
    from app.core.process import Process

log = structlog.get_logger()

ACCOUNT_PROBE = 60.0  # seconds between two probes of a group whose account is refused


class Closing(Enum):
    """Why calls in flight are closed."""

    CANCELLED = RecordStatus.CANCELLED
    EXPIRED = RecordStatus.EXPIRED
    STOPPING = None  # this process ends: the record goes back


class Asker(Protocol):
    """Who handed a record over; told on other threads."""

    def ended(self) -> None:
        """The record's seat is free."""

    def written(self, outcome: Outcome, won: bool, group: Written) -> None:
        """The outcome that ends this record's stay in the process is committed."""


class _AskAgain(Exception):
    """Ends one turn of the retry loop: the record is asked again in this process."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class _GiveBack(Exception):
    """The record waits for a named time, and not in this process."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class _Lost(Exception):
    """Another process has the record by now."""


@dataclass(slots=True)
class Permit:
    """A start time on this process's monotonic clock, and whether its call probes a held group."""

    at: float
    probe: bool


class Asking:
    """A record between its claim and its outcome."""

    def __init__(
        self, process: "Process", asker: Asker, job: JobContext, claim: Claim, permit: Permit
    ) -> None:
        self._process = process
        self._asker = asker
        self._permit: Permit = permit
        self.job = job
        self.claim = claim
        self.closing: Closing | None = None
        self._params: dict[str, Any] = {}
        self._failure: Outcome | None = None  # of the call before the one that is due, not yet committed
        self._refusals = 0
        self._sent_at: float | None = None  # monotonic, while a call is out
        self._left = dt.datetime.now(dt.UTC)  # the latest call: it pays the price of then

    async def run(self) -> None:
        """Ask until there is an outcome, and hand it to the writer."""
        retrying = AsyncRetrying(retry=retry_if_exception_type(_AskAgain), wait=_named_seconds, reraise=True)
        try:
            outcome: Outcome | None = await retrying(self._call)
        except asyncio.CancelledError:
            outcome = self._closed()
        except _GiveBack as wait:
            outcome = self._known_or(ledger.UNSENT, again_in=wait.seconds)
        except _Lost:
            outcome = None
        except Exception:
            # A fault of ours: the record stays claimed until it is overdue; nobody here waits for it.
            log.exception("call.broken", job=self.job.job_id, index=self.claim.idx)
            outcome = None
        self._finish(outcome)

    def close_unstarted(self) -> None:
        """The coroutine was cancelled before its first step, so that nothing in it could see it."""
        self._finish(self._closed())

    def _finish(self, outcome: Outcome | None) -> None:
        self._asker.ended()
        if outcome is None:
            self._asker.written(self._known_or(ledger.UNSENT), won=False, group=Written())
        else:
            self._process.writer.put(outcome, self._asker.written)

    async def _call(self) -> Outcome:
        """One call with its permit; raises `_AskAgain` when its failure is to be tried again here."""
        await self._wait_for_start()
        if self._failure is not None:
            await self._commit_failure(self._failure)
        try:
            self._params = requests.build(
                self.job, self.claim.body, self.claim.max_tokens, self.claim.history
            )
        except RequestRejected as error:
            return self._outcome(Call(ledger.UNSENT, self.job.model), RecordStatus.FAILED, error)
        started = self._sent_at = time.monotonic()
        self._left = dt.datetime.now(dt.UTC)
        client = self._process.client(self.job.provider)
        try:
            reply = await client.ask(
                self._params, deadline=settings.current().call_deadline, attempt=self.claim.attempt
            )
        except ProviderError as error:
            self._sent_at = None
            return await self._failed(error, self._failed_call(error, time.monotonic() - started))
        self._sent_at = None
        return await self._answered(reply, time.monotonic() - started)

    async def _answered(self, reply: Reply, seconds: float) -> Outcome:
        if self._permit.probe:
            await self._process.clear(self.job.limits.group)
        call = ledger.answered(
            self._model, self._params, reply.usage, reply.request_id, seconds, left=self._left
        )
        try:
            _check_schema(self.job, reply)
        except BadAnswer as error:
            return await self._failed(error, call)
        outcome = self._outcome(call, RecordStatus.SUCCEEDED)
        outcome.body = reply.body
        return outcome

    async def _failed(self, error: ProviderError, call: Call) -> Outcome:
        """Who is to blame decides: again here, given back, or ended."""
        blamed = error.blame is Blame.RECORD
        decision = retries.decide(
            error,
            tries_left=self.job.retries - self.claim.tries,
            refusals=self._refusals,
            tries_used=self.claim.tries,
        )
        if not blamed:
            self._refusals += 1
            await self._hold(error)
        elif self._permit.probe:
            await self._process.clear(self.job.limits.group)  # it answers, if not as this record hoped
        if isinstance(decision, retries.Ended):
            return self._outcome(call, RecordStatus.FAILED, error, blamed=blamed)
        failure = self._outcome(call, None, error, blamed=blamed)
        if isinstance(decision, retries.AskAgain):
            self._failure = failure  # written when the next call has its permit
            raise _AskAgain(decision.seconds)
        failure.again_in = decision.seconds
        return failure

    async def _hold(self, error: ProviderError) -> None:
        """All workers of the group wait together for what one of them was told."""
        if isinstance(error, AccountRefused):
            seconds = error.retry_after or ACCOUNT_PROBE
            await self._process.hold(self.job.limits.group, f"account: {error.type}", seconds, seconds)
        else:
            await self._process.hold(
                self.job.limits.group, f"provider: {error.type}", error.retry_after or 0, 0
            )

    async def _wait_for_start(self) -> None:
        if self._failure is not None:
            self._permit = await self._new_permit()
        await asyncio.sleep(self._permit.at - time.monotonic())
        while time.monotonic() - self._permit.at > LATE:
            self._permit = await self._new_permit()
            await asyncio.sleep(self._permit.at - time.monotonic())

    async def _new_permit(self) -> Permit:
        """Another start for this record, which has its seat; raises `_GiveBack` when it is far away."""
        while True:
            grant = await self._process.permit(self.job.limits)
            if grant.count:
                return Permit(time.monotonic() + grant.delay, grant.probe)
            if grant.reason.startswith(("account", "provider")) and grant.wait > retries.LONGEST_WAIT:
                raise _GiveBack(grant.wait)
            await asyncio.sleep(min(grant.wait, 1.0))

    async def _commit_failure(self, failure: Outcome) -> None:
        """Write down the call that failed and that the next one may leave; raises `_Lost` if it may not."""
        done: asyncio.Future[bool] = self._process.loop.create_future()

        def told(_: Outcome, won: bool, __: Written) -> None:
            self._process.loop.call_soon_threadsafe(_settle, done, won)

        self._process.writer.put(failure, told)
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError:
            await done  # what is being committed must be known before anything else is written
            self._next_attempt(failure, won=done.result())
            raise
        self._next_attempt(failure, won=done.result())

    def _next_attempt(self, failure: Outcome, won: bool) -> None:
        if not won:
            raise _Lost
        self._failure = None
        self.claim.attempt += 1
        self.claim.tries += failure.blamed

    def _failed_call(self, error: ProviderError, seconds: float) -> Call:
        if isinstance(error, Unreachable):
            return Call(ledger.UNSENT, self._model, error_type=error.type, seconds=seconds)
        if isinstance(error, TimedOut | ConnectionCut | BadAnswer):
            return self._unconfirmed(error.type, seconds)
        return Call(
            ledger.ANSWERED,
            self._model,
            error_type=error.type,
            request_id=error.request_id,
            seconds=seconds,
        )

    def _unconfirmed(self, error_type: str, seconds: float) -> Call:
        return ledger.unconfirmed(
            self._model,
            self._params,
            self.claim.request_bytes,
            self._params.get("max_tokens", self.job.max_tokens),
            error_type,
            seconds,
            left=self._left,
        )

    def _closed(self) -> Outcome:
        """The call in flight, if there is one, is closed and stands as unconfirmed."""
        assert self.closing is not None, "only Process cancels, and says why"
        if self.closing is Closing.STOPPING:
            return self._known_or(self._in_flight("stopping"), again_in=0.0)
        word = self.closing.name.lower()
        outcome = self._known_or(self._in_flight(word))
        outcome.status = self.closing.value
        outcome.error_type = word
        outcome.error_message = f"The job was {word} while this record was being asked."
        return outcome

    def _in_flight(self, why: str) -> Call | str:
        if self._sent_at is None:
            return ledger.UNSENT
        return self._unconfirmed(why, time.monotonic() - self._sent_at)

    def _known_or(self, call: Call | str, again_in: float | None = None) -> Outcome:
        """What is known of the latest call: its failure, if that waits to be written, or `call`."""
        if self._failure is not None:
            outcome = self._failure
        else:
            outcome = self._outcome(call if isinstance(call, Call) else Call(call, self._model), None)
        outcome.again_in = again_in
        return outcome

    def _outcome(
        self,
        call: Call,
        status: RecordStatus | None,
        error: ProviderError | None = None,
        *,
        blamed: bool = False,
    ) -> Outcome:
        return Outcome(
            job=self.job,
            claim=self.claim,
            call=call,
            status=status,
            error_type=None if error is None else error.type,
            error_message=None if error is None else error.message,
            blamed=blamed,
        )

    @property
    def _model(self) -> str:
        return str(self._params.get("model", self.job.model))


def _named_seconds(state: RetryCallState) -> float:
    """tenacity's wait: what the decision said."""
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, _AskAgain)
    return error.seconds


def _settle(done: "asyncio.Future[bool]", won: bool) -> None:
    if not done.done():
        done.set_result(won)


def _check_schema(job: JobContext, reply: Reply) -> None:
    """Raise `BadAnswer` when the job has a schema and the answer does not fit it."""
    if job.validator is None:
        return
    try:
        value = json.loads(reply.text)
    except ValueError as error:
        raise BadAnswer(f"The answer is not JSON: {error}", type="schema_mismatch") from None
    for fault in job.validator.iter_errors(value):
        where = "/".join(str(part) for part in fault.instance_path)
        raise BadAnswer(
            f"The answer does not fit the schema at /{where}: {fault.message[:500]}", type="schema_mismatch"
        )
