"""A record between its claim and its outcome: the calls that are made for it.

Read `CallInFlight.run` first: each call is built, waits for its start, leaves, and ends as an answer or a
failure; what follows a failure is decided in `retries`, what is booked in `latest_call`.
"""

import asyncio
from enum import Enum
from functools import partial
from typing import Any, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.core.documents import open_store
from app.core.limits import obstacle
from app.core.measures import metrics
from app.core.measures.counts import counts
from app.core.money.ledger import Call
from app.core.outages import servers
from app.core.pipeline import claims
from app.core.pipeline.outcomes import Outcome, Written
from app.core.relay.attendant import Attendant
from app.core.requests import build
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.core.requests.prompt_cache.layout import Keep
from app.core.tracing import traces
from app.core.worker import retries
from app.core.worker.judging import answer_checks
from app.core.worker.latest_call import LatestCall
from app.core.worker.load import RoomObserver
from app.core.worker.permits import Permit, Permits
from app.core.worker.retries import AskAgain, Ended
from app.core.worker.services import Services
from app.errors import Booking, ProviderError, RequestRejected, SchemaMismatch, Unavailable
from app.ingest import documents
from app.providers import registry
from app.providers.client import Reply
from config import logs
from models.record import RecordStatus
from models.session import in_transaction

log = structlog.get_logger()

STORE_AWAY = 10.0  # seconds until a document is fetched again
INTERNAL_ERROR = "internal_error"
INTERNAL_ERROR_PAUSE = 10.0  # seconds, by when the cause may have gone


class CloseReason(Enum):
    """Why calls in flight are closed."""

    CANCELLED = RecordStatus.CANCELLED
    EXPIRED = RecordStatus.EXPIRED
    STOPPING = None  # this process ends: the record goes back


class CallObserver(RoomObserver, Protocol):
    """A slice, notified of a record that it handed over. Called on other threads."""

    def on_ended(self, lease_id: int) -> None:
        """The record's calls have ended: its seat, taken under this lease, is free."""

    def on_committed(self, outcome: Outcome, won: bool, group: Written) -> None:
        """The record's last outcome in this process is committed."""


class _Superseded(Exception):
    """Another process holds the record by now."""


class CallInFlight:
    """The calls of one record, one after the other, on the event loop."""

    def __init__(
        self, services: Services, observer: CallObserver, job: JobContext, claim: Claim, permit: Permit
    ) -> None:
        self._services, self._observer = services, observer
        self._permits = Permits(services, job, claim, permit)
        self._latest = LatestCall(job, claim)
        self._sent = False  # its first call has left; the process counts those that have not
        self._refusals = 0  # in a row
        self._waiting = Attendant(services.relay, job, claim)
        self.job, self.claim = job, claim
        self.close_reason: CloseReason | None = None  # set by whoever cancels the task

    async def run(self) -> None:
        """Ask until there is an outcome, and hand it to the writer."""
        logs.subject.set(self.claim.in_log)
        outcome: Outcome | None = None
        try:
            outcome = await self._ask()
        except asyncio.CancelledError:
            outcome = self._closed()
        except _Superseded:
            pass  # nothing is left for this process to write
        except SQLAlchemyError as error:
            servers.tell(error, "call")
            outcome = self._outcome_so_far(INTERNAL_ERROR, again_in=INTERNAL_ERROR_PAUSE)
        except Exception:
            log.exception("call.broken")
            outcome = self._internal_failure()
        self._finish(outcome)

    def close_unstarted(self) -> None:
        """Finish a record whose task was cancelled before its first step, so that `run` never saw it."""
        self._finish(self._closed())

    def mark_sent(self) -> None:
        """The record's first call leaves, or never will."""
        if not self._sent:
            self._sent = True
            self._services.on_sent(self.job)

    # --- one call

    async def _ask(self) -> Outcome:
        result = await self._call()
        while isinstance(result, AskAgain):
            await asyncio.sleep(result.seconds)
            result = await self._call()
        return result

    async def _call(self) -> Outcome | AskAgain:
        """One call with its permit: the outcome, or when to ask again in this process."""
        latest = self._latest
        try:
            self._waiting.check()
            latest.params = latest.params or await _build(self._services, self.job, self.claim)
            delay = await self._permits.wait_for_start(
                latest.model, latest.max_tokens, used=latest.uncommitted is not None
            )
        except RequestRejected as error:
            self._permits.refund()
            return self._waiting.rejected(latest, error)
        except Unavailable as error:
            _tell_not_fetched(error)
            self._permits.refund()
            delay = STORE_AWAY
        if delay is not None:
            return self._waiting.cannot_wait(latest, delay) or latest.outcome_so_far("", again_in=delay)
        if latest.uncommitted is not None:
            await self._commit(latest.uncommitted)
        if latest.continues and not await _may_go_on(self.claim, *latest.worst_case):
            self._permits.refund()
            return latest.out_of_money()
        return await self._send()

    async def _commit(self, earlier: Outcome) -> None:
        """Commit the earlier call, so that the next may leave; raises `_Superseded` if it may not."""
        done: asyncio.Future[bool] = self._services.loop.create_future()

        def on_committed(_: Outcome, won: bool, __: Written) -> None:
            self._services.loop.call_soon_threadsafe(_resolve, done, won)

        self._services.writer.put(earlier, on_committed)
        try:
            await asyncio.shield(done)
        finally:
            # Even when this is cancelled: nothing else may be written before the commit's result is known.
            if not await done:
                raise _Superseded
            self._latest.next_attempt()

    async def _send(self) -> Outcome | AskAgain:
        self._latest.begin()
        self.mark_sent()
        try:
            asked = self._waiting.ask(self._services.client(self.job.provider), self._latest.params)
            reply = await traces.call(asked, self.job, self.claim, self._latest.model)
        except ProviderError as error:
            booking = self._permits.booking(error)
            call = self._latest.failed(error, booking, self._latest.end())
            if booking is not Booking.UNCONFIRMED:
                self._permits.refund()  # nothing was sent, or the provider refused it before doing any work
            return await self._failed(error, call)
        return await self._answered(reply, self._latest.end())

    async def _answered(self, reply: Reply, seconds: float) -> Outcome | AskAgain:
        self._permits.settle(reply.usage, seconds)
        call = self._latest.answered(reply, seconds)
        self._latest.result = self._latest.outcome(call)  # paid for, whatever happens next
        found = await _judged(self._latest, self.job, self.claim, call, reply)
        await self._permits.learn(reply.limits)
        await self._permits.clear_hold()
        return await self._failed(found, call) if isinstance(found, ProviderError) else found

    async def _failed(self, error: ProviderError, call: Call) -> Outcome | AskAgain:
        """Ask again here, give back or end, by who is to blame."""
        self._latest.result = self._latest.outcome(call, None, error)
        await self._permits.learn(error.limits)
        outage = error.signals_outage and await self._permits.count_failure(repeated=error.repeated)
        why = obstacle.of(error, registry.table()[self.job.provider])
        decision = retries.decide(
            error,
            tries_left=self.job.retries - self.claim.tries,
            tries_used=self.claim.tries,
            refusals=self._refusals,
            outage=outage,
            weight=self._permits.weigh(error, outage=outage),
        )
        if decision.uses_try:
            await self._permits.clear_hold()  # the provider answers, though not with what this record needs
        else:
            self._refusals += 1
            await self._permits.hold_group(decision, why)
        failure = self._latest.outcome(call, None, error, blamed=decision.uses_try)
        if isinstance(decision.then, Ended) or self._waiting.is_there:
            self._waiting.fault = error
            failure.status = RecordStatus.FAILED
            return failure
        if isinstance(decision.then, AskAgain) and self.claim.reserved is None:
            self._latest.uncommitted = failure  # written when the next call has its permit
            return decision.then
        failure.again_in = decision.then.seconds
        failure.pause = why.message if decision.pauses else None
        return failure

    # --- its end

    def _closed(self) -> Outcome:
        """The call in flight, if there is one, is closed and stands as unconfirmed."""
        assert self.close_reason is not None, "only Process cancels, and sets the reason"
        word = self.close_reason.name.lower()
        if self.close_reason is CloseReason.STOPPING:
            return self._outcome_so_far(word, again_in=0.0)
        outcome = self._outcome_so_far(word)
        if outcome.status is None:
            outcome.status, outcome.error_type = self.close_reason.value, word
            outcome.error_message = f"The job ended ({word}) while this record was being asked."
        return outcome

    def _internal_failure(self) -> Outcome:
        """A bug of ours, which the same record may well hit again: it uses a try like any failure."""
        outcome = self._outcome_so_far(INTERNAL_ERROR)
        if outcome.status is None:
            outcome.blamed = True
            outcome.error_type = INTERNAL_ERROR
            outcome.error_message = (
                f"An internal error of Penstock: see call.broken of index {self.claim.idx} in its log."
            )
            if self.claim.tries < self.job.retries:
                outcome.again_in = INTERNAL_ERROR_PAUSE
            else:
                outcome.status = RecordStatus.FAILED
        return outcome

    def _outcome_so_far(self, why: str, again_in: float | None = None) -> Outcome:
        """See `LatestCall.outcome_so_far`; a permit without a call is refunded.

        A result that ends the record stays as it is: it is paid for, and only an update of its limit group
        kept it from being written.
        """
        if (final := self._latest.final_outcome) is not None:
            return final
        if self._latest.has_unused_permit:
            self._permits.refund()
        return self._latest.outcome_so_far(why, again_in)

    def _finish(self, outcome: Outcome | None) -> None:
        """Hand the outcome to the writer; None: another process holds the record, and nothing is written."""
        self._observer.on_ended(self.claim.lease_id)
        self._waiting.tell(outcome)
        if outcome is None:
            self._on_committed(self._latest.outcome_so_far(""), won=False, group=Written())
        else:
            self._services.writer.put(outcome, self._on_committed)

    def _on_committed(self, outcome: Outcome, won: bool, group: Written) -> None:
        self._services.held_claims.let_go(self.claim)
        self._observer.on_committed(outcome, won, group)


def _tell_not_fetched(error: Unavailable) -> None:
    log.warning("document.not_fetched", reason=error.message)
    counts.add(metrics.NOT_FETCHED)


async def _build(services: Services, job: JobContext, claim: Claim) -> dict[str, Any]:
    """The request; a document is fetched from the object store on a thread of its own.

    Raises `RequestRejected`, and `Unavailable` while the store is.
    """
    document, attached = documents.read(claim.body), None
    if document is not None:
        attached = await services.loop.run_in_executor(services.readers, open_store.content_block, document)
    keep = None if job.least_cacheable is None else Keep(claim.keep, claim.is_followed)
    return build.build(job, claim.body, claim.max_tokens, claim.history, attached, keep)


async def _judged(
    latest: LatestCall, job: JobContext, claim: Claim, call: Call, reply: Reply
) -> Outcome | AskAgain | ProviderError:
    """What an answer makes of its record: its end, a call for the rest of the answer, or a failure."""
    whole = latest.whole(reply)
    if latest.may_continue(whole) and job.attended is None:  # whoever waits for an answer continues it
        latest.go_on(call, whole)
        return AskAgain(0.0)
    schema = job.answer_schema_of(claim.body)
    found = await answer_checks.check(schema, whole, job.tenant_id, latest.max_tokens)
    if isinstance(found.fault, SchemaMismatch):
        if (following := latest.ladder.next(latest.request, whole, found.fault)) is not None:
            latest.climb(call, whole, found.fault, following)
            return AskAgain(0.0)
    elif found.fault is not None and found.fault.retryable:
        latest.start_over()
        return found.fault
    latest.result = latest.ended(call, whole, found.fault)
    latest.result.value = found.value
    if found.fault is None:
        latest.result.repair = latest.ladder.repair(is_mended=found.is_mended)
    return latest.result


async def _may_go_on(claim: Claim, size: int, most: int) -> bool:
    """Whether the caps have room for another call of a claim, of `size` bytes; it is reserved then."""
    extend = partial(claims.extend, claim=claim, sent_bytes=size, needs=most)
    if not await asyncio.to_thread(in_transaction, extend):
        return False
    claim.reserved = None if claim.reserved is None else most
    return True


def _resolve(done: "asyncio.Future[bool]", won: bool) -> None:
    if not done.done():
        done.set_result(won)
