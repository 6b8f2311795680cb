"""One record on the event loop: its calls, what follows from each, and its outcome."""

import asyncio
import datetime as dt
import time
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.core.documents import open_store
from app.core.money import ledger
from app.core.money.ledger import Call
from app.core.pipeline.outcomes import Outcome, Written
from app.core.requests import build
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.core.worker import answer_checks, retries
from app.core.worker.permits import GiveBack, Permit, Permits
from app.errors import (
    AccountRefused,
    BadAnswer,
    Blame,
    ConnectionCut,
    ProviderError,
    RefusedTogether,
    RequestRejected,
    TimedOut,
    Unavailable,
    Unreachable,
)
from app.ingest import documents
from app.ingest.documents import Block, Document
from app.providers.client import Reply
from models.record import RecordStatus

if TYPE_CHECKING:
    from app.core.worker.process import Process

log = structlog.get_logger()

ACCOUNT_PROBE = 60.0  # seconds between two probes of a group whose account is refused
OUTAGE = 10  # failures among a group's last 20 calls
RAMP_LIMIT = "ramp_limit_exceeded"
STORE_AWAY = 10.0  # seconds until a document is asked for again
BROKEN = "internal_error"
BROKEN_PAUSE = 10.0  # seconds: what was in the way may have gone by then


class Closing(Enum):
    """Why calls in flight are closed."""

    CANCELLED = RecordStatus.CANCELLED
    EXPIRED = RecordStatus.EXPIRED
    STOPPING = None  # this process ends: the record goes back


class Asker(Protocol):
    """Who handed a record over; told on other threads."""

    def ended(self) -> None:
        """The record's seat is free."""

    def may_go_on(self) -> None:
        """The loop has room for more."""

    def written(self, outcome: Outcome, won: bool, group: Written) -> None:
        """The outcome that ends this record's stay in the process is committed."""


class _AskAgain(Exception):
    """Ends one call: the record is asked again in this process."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class _Lost(Exception):
    """Another process has the record by now."""


class Asking:
    """A record between its claim and its outcome."""

    def __init__(
        self, process: "Process", asker: Asker, job: JobContext, claim: Claim, permit: Permit
    ) -> None:
        self._process = process
        self._asker = asker
        self._permits = Permits(process, job, claim, permit)
        self.job = job
        self.claim = claim
        self.closing: Closing | None = None
        self.left = False  # its first call has left; the process counts those that have not
        self._params: dict[str, Any] = {}
        self._failure: Outcome | None = None  # of the call before the one that is due, not yet committed
        self._refusals = 0
        self._sent_at: float | None = None  # monotonic, while a call is out
        self._heard: Outcome | None = None  # what the latest call came to, until that is handed on
        self._sent_on = dt.datetime.now(dt.UTC)  # the latest call: it pays the price of then

    async def run(self) -> None:
        """Ask until there is an outcome, and hand it to the writer."""
        try:
            outcome: Outcome | None = await self._asked()
        except asyncio.CancelledError:
            outcome = self._closed()
        except GiveBack as wait:
            outcome = self._known_or(ledger.UNSENT, again_in=wait.seconds)
        except _Lost:
            outcome = None
        except SQLAlchemyError as error:
            log.warning("storage.away", job=self.job.job_id, index=self.claim.idx, error=type(error).__name__)
            outcome = self._known_or(self._in_flight(BROKEN), again_in=BROKEN_PAUSE)
        except Exception:
            log.exception("call.broken", job=self.job.job_id, index=self.claim.idx)
            outcome = self._broken()
        self._finish(outcome)

    async def _asked(self) -> Outcome:
        while True:
            try:
                return await self._call()
            except _AskAgain as again:
                await asyncio.sleep(again.seconds)

    def _broken(self) -> Outcome:
        """A fault of ours, which the same record may well meet again: it uses its tries like any failure.

        A call that has ended stands as it did.
        """
        if self._heard is not None and self._heard.status is not None:
            return self._heard
        outcome = self._known_or(self._in_flight(BROKEN))
        outcome.blamed = True
        outcome.error_type = BROKEN
        outcome.error_message = (
            f"A fault of Penstock's own: its log tells more, as call.broken of index {self.claim.idx}."
        )
        if self.claim.tries < self.job.retries:
            outcome.again_in = BROKEN_PAUSE
        else:
            outcome.status = RecordStatus.FAILED
        return outcome

    def close_unstarted(self) -> None:
        """The coroutine was cancelled before its first step, so that nothing in it could see it."""
        self._finish(self._closed())

    def _finish(self, outcome: Outcome | None) -> None:
        self._asker.ended()
        if outcome is None:
            self._written(self._known_or(ledger.UNSENT), won=False, group=Written())
        else:
            self._process.writer.put(outcome, self._written)

    def _written(self, outcome: Outcome, won: bool, group: Written) -> None:
        self._process.holding.let_go(self.claim)
        self._asker.written(outcome, won, group)

    async def _call(self) -> Outcome:
        """One call with its permit; raises `_AskAgain` when its failure is to be tried again here."""
        try:
            self._params = self._params or await self._build()
            await self._permits.wait_for_start(
                str(self._params["model"]), self._max_tokens, used=self._failure is not None
            )
        except RequestRejected as error:
            self._permits.refund()
            return self._outcome(Call(ledger.UNSENT, self.job.model), RecordStatus.FAILED, error)
        if self._failure is not None:
            await self._commit_failure(self._failure)
        self._heard = None
        started = self._sent_at = time.monotonic()
        self._sent_on = dt.datetime.now(dt.UTC)
        self._process.leaves(self)
        client = self._process.client(self.job.provider)
        try:
            reply = await client.ask(self._params, deadline=self.job.deadline, attempt=self.claim.attempt)
        except ProviderError as error:
            self._sent_at = None
            return await self._failed(error, self._failed_call(error, time.monotonic() - started))
        self._sent_at = None
        return await self._answered(reply, time.monotonic() - started)

    async def _build(self) -> dict[str, Any]:
        document = documents.read(self.claim.body)
        attached = None if document is None else await self._attached(document)
        return build.build(self.job, self.claim.body, self.claim.max_tokens, self.claim.history, attached)

    async def _attached(self, document: Document) -> Block:
        """The content block of a document, fetched from the object store on a thread of its own."""
        try:
            return await self._process.loop.run_in_executor(
                self._process.readers, open_store.content_block, document
            )
        except Unavailable as error:
            log.warning("document.not_fetched", **self.job.facts, index=self.claim.idx, reason=error.message)
            self._permits.refund()
            raise GiveBack(STORE_AWAY) from error

    async def _answered(self, reply: Reply, seconds: float) -> Outcome:
        self._permits.settle(reply.usage, seconds)
        call = ledger.answered(
            self._model, self._params, reply.usage, reply.request_id, seconds, left=self._sent_on
        )
        self._heard = self._outcome(call, None)
        fault = await answer_checks.fault(self.job.answer_schema_of(self.claim.body), reply)
        if fault is None:
            self._heard = outcome = self._outcome(call, RecordStatus.SUCCEEDED)
            outcome.body = reply.body
        await self._process.book.learn(self._permits.group, reply.limits)
        if self._permits.probe:
            await self._process.book.clear(self._permits.group)
        return outcome if fault is None else await self._failed(fault, call, answered=True)

    async def _failed(self, error: ProviderError, call: Call, *, answered: bool = False) -> Outcome:
        """Who is to blame decides: again here, given back, or ended. `answered`: not as it was asked."""
        self._heard = self._outcome(call, None, error)
        await self._process.book.learn(self._permits.group, error.limits)
        outage = not answered and await self._is_outage(error)
        blamed = error.blame is Blame.RECORD and not outage
        decision = retries.decide(
            error,
            tries_left=self.job.retries - self.claim.tries,
            refusals=self._refusals,
            tries_used=self.claim.tries,
            outage=outage,
        )
        if not blamed:
            self._refusals += 1
            await self._hold(error, outage)
        elif self._permits.probe:
            await self._process.book.clear(self._permits.group)  # it answers, if not as this record hoped
        if isinstance(decision, retries.Ended):
            return self._outcome(call, RecordStatus.FAILED, error, blamed=blamed)
        failure = self._outcome(call, None, error, blamed=blamed)
        if isinstance(decision, retries.AskAgain) and self.claim.reserved is None:
            self._failure = failure  # written when the next call has its permit
            raise _AskAgain(decision.seconds)
        failure.again_in = decision.seconds
        return failure

    async def _is_outage(self, error: ProviderError) -> bool:
        """Whether what looks like the record's own failure is the group's: half of its last calls failed."""
        if not isinstance(error, TimedOut | ConnectionCut | BadAnswer):
            self._permits.refund()  # the provider refused before it worked for it
        if error.blame is not Blame.RECORD or not error.retryable or isinstance(error, RefusedTogether):
            return False
        if not error.repeated:
            self._process.book.settlement(self._permits.terms).failed += 1
        failed = await self._process.book.settle_now(self._permits.terms)
        return failed >= OUTAGE or self._permits.probe

    async def _hold(self, error: ProviderError, outage: bool) -> None:
        """All workers of the group wait together for what one of them was told."""
        book, group = self._process.book, self._permits.group
        seconds, every, reason = error.retry_after or 0.0, 0.0, f"provider: {error.type}"
        if isinstance(error, AccountRefused):
            seconds = every = error.retry_after or ACCOUNT_PROBE
            reason = f"account: {error.type}"
        elif error.type == RAMP_LIMIT:
            await book.slow_down(self._permits.terms)
            if not seconds:
                return
        elif outage:
            reason = f"provider: outage ({error.type})"
        await book.hold(group, reason, seconds, every, probe=self._permits.probe)

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
        self._failure = self._heard = None
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
        call = ledger.unconfirmed(
            self._model,
            self._params,
            self.claim.held_bytes,
            self._max_tokens,
            error_type,
            seconds,
            left=self._sent_on,
        )
        return ledger.as_reserved(call, self.claim.reserved)

    def _closed(self) -> Outcome:
        """The call in flight, if there is one, is closed and stands as unconfirmed.

        A call that has ended stands as it did: its answer is paid for, and was only waiting for a word about
        its group to be written.
        """
        assert self.closing is not None, "only Process cancels, and says why"
        if self._heard is not None and self._heard.status is not None:
            return self._heard
        word = self.closing.name.lower()
        if self.closing is Closing.STOPPING:
            return self._known_or(self._in_flight(word), again_in=0.0)
        outcome = self._known_or(self._in_flight(word))
        outcome.status = self.closing.value
        outcome.error_type = word
        outcome.error_message = f"The job was {word} while this record was being asked."
        return outcome

    def _in_flight(self, why: str) -> Call | str:
        if self._sent_at is None:
            if self._heard is None or self._failure is not None:
                self._permits.refund()  # it waits for its call; that of a call that ended was settled
            return ledger.UNSENT
        return self._unconfirmed(why, time.monotonic() - self._sent_at)

    def _known_or(self, call: Call | str, again_in: float | None = None) -> Outcome:
        """What is known of the latest call: its failure, if that waits to be written, or `call`."""
        known = self._failure or self._heard
        if known is not None:
            outcome = known
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
    def _max_tokens(self) -> int:
        return int(self._params.get("max_tokens", self.job.max_tokens))

    @property
    def _model(self) -> str:
        return str(self._params.get("model", self.job.model))


def _settle(done: "asyncio.Future[bool]", won: bool) -> None:
    if not done.done():
        done.set_result(won)
