"""What is known of a record's latest call, and the outcomes that follow from it."""

import datetime as dt
import json
import time
from dataclasses import replace
from typing import Any

from app.core.money import ledger
from app.core.money.ledger import Call
from app.core.pipeline.outcomes import Outcome
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.core.worker.judging.ladder import Ladder
from app.errors import AnswerPaused, Booking, ProviderError, SchemaMismatch
from app.ingest.values import to_json
from app.providers import answers, first_byte
from app.providers.client import PAUSE, Reply
from models.record import RecordStatus

MOST_PAUSES = 10  # of an answer that are continued
LONGEST_REFUSAL = 16_000  # bytes of a refusal that are kept


class LatestCall:
    """Used on the event loop. `params`, the record's request, are set before its first call leaves."""

    def __init__(self, job: JobContext, claim: Claim) -> None:
        self._job, self._claim = job, claim
        self.params: dict[str, Any] = {}
        self.result: Outcome | None = None  # of the call, from its end until the next one leaves
        self.uncommitted: Outcome | None = None  # a failure, to be committed before the next call leaves
        self._started: float | None = None  # monotonic, while the call is in flight
        self._sent_at = dt.datetime.now(dt.UTC)  # decides which price holds
        self._so_far: Reply | None = None  # the answer up to its latest pause, after which it is continued
        self._asked: list[Any] = []  # the messages without that
        self._pauses = 0
        self._added_bytes = 0  # to the request, by the answer so far
        self.ladder = Ladder(job, claim)
        self._misfit: tuple[Reply, SchemaMismatch] | None = None  # why the next call is another one

    @property
    def model(self) -> str:
        return str(self.params.get("model", self._job.model))

    @property
    def max_tokens(self) -> int:
        return int(self.params.get("max_tokens", self._job.max_tokens))

    @property
    def has_unused_permit(self) -> bool:
        """Whether the record's permit is for a call that has not left; that of an ended call was settled."""
        return self._started is None and (self.result is None or self.uncommitted is not None)

    @property
    def final_outcome(self) -> Outcome | None:
        """The result, if it ends the record: it is paid for, and not yet written."""
        return self.result if self.result is not None and self.result.status is not None else None

    def begin(self) -> None:
        """The call leaves."""
        self.result = None
        first_byte.expect()
        self._started = time.monotonic()
        self._sent_at = dt.datetime.now(dt.UTC)

    def end(self) -> float:
        """The call has ended; returns the seconds that it took."""
        assert self._started is not None
        seconds, self._started = time.monotonic() - self._started, None
        return seconds

    def answered(self, reply: Reply, seconds: float) -> Call:
        """The ledger's entry of a call that was answered: unconfirmed if it does not say what it took."""
        if reply.usage is None:
            return replace(self._unconfirmed(ledger.USAGE_UNKNOWN, seconds), request_id=reply.request_id)
        usage, sent_at = reply.usage, self._sent_at
        call = ledger.answered(self.model, self.params, usage, reply.request_id, seconds, sent_at=sent_at)
        return replace(call, first_byte=first_byte.took())

    def failed(self, error: ProviderError, booking: Booking, seconds: float) -> Call:
        """The ledger's entry of a call that ended with `error`."""
        if booking is Booking.UNCONFIRMED:
            return self._unconfirmed(error.type, seconds)
        return Call(
            booking.value,
            self.model,
            error_type=error.type,
            request_id=error.request_id,
            seconds=seconds,
        )

    # --- an answer that the provider pauses: each continuation is a call of its own, and all are one answer

    @property
    def continues(self) -> bool:
        """Whether the next call is another than the record was claimed for, and may be larger or dearer."""
        return self._so_far is not None or self._misfit is not None

    @property
    def worst_case(self) -> tuple[int, int]:
        """Bytes of the next call's request, and pico-dollars that it may cost at most."""
        size = len(to_json(self.params))
        call = ledger.unconfirmed(self.model, self.params, size, self.max_tokens, "", sent_at=self._sent_at)
        return size, call.cost or 0

    def whole(self, reply: Reply) -> Reply:
        """The answer with what came before its pauses."""
        return reply if self._so_far is None else answers.joined(self._so_far, reply)

    def may_continue(self, whole: Reply) -> bool:
        return whole.stop_reason == PAUSE and self._pauses < MOST_PAUSES

    def go_on(self, call: Call, whole: Reply) -> None:
        """Have the next call ask for the rest of an answer, once this call is committed."""
        if self._so_far is None:
            self._asked = list(self.params["messages"])
        content = answers.sendable(json.loads(whole.body), is_last=True)
        so_far = [{"role": "assistant", "content": content}] if content else []  # an empty one is refused
        self.params = {**self.params, "messages": self._asked + so_far}
        self._so_far, self._pauses = whole, self._pauses + 1
        self._claim.request_bytes += len(whole.body) - self._added_bytes
        self._added_bytes = len(whole.body)
        self.result = self.uncommitted = self.outcome(call)

    @property
    def request(self) -> dict[str, Any]:
        """The request that the answer is to, without what came before its pauses."""
        return self.params if self._so_far is None else {**self.params, "messages": self._asked}

    def climb(self, call: Call, reply: Reply, fault: SchemaMismatch, params: dict[str, Any]) -> None:
        """Have the next call be `params`, as the answer does not fit, once this call is committed."""
        added = len(to_json(params)) - len(to_json(self.params)) + self._added_bytes
        self._claim.request_bytes += added - self._added_bytes
        self._added_bytes = added
        self.params, self._so_far, self._misfit = params, None, (reply, fault)
        self.result = self.uncommitted = self.outcome(call, None, fault, blamed=True)

    def start_over(self) -> None:
        """Have the next call ask from the beginning."""
        if self._so_far is not None:
            self._so_far, self.params = None, {}
            self._claim.request_bytes -= self._added_bytes
            self._added_bytes = 0

    def out_of_money(self) -> Outcome:
        """The record fails with its answer so far: the caps have no room for the next call."""
        if self._misfit is not None:
            return self.ended(Call(ledger.UNSENT, self.model), *self._misfit)
        assert self._so_far is not None
        error = AnswerPaused(
            "The provider paused its answer, and going on may cost more than the cap allows."
        )
        return self.ended(Call(ledger.UNSENT, self.model), self._so_far, error)

    # --- outcomes

    def ended(self, call: Call, reply: Reply, fault: ProviderError | None = None) -> Outcome:
        """The record ends with its answer, which is kept whatever is wrong with it."""
        outcome = self.outcome(call, RecordStatus.FAILED if fault else RecordStatus.SUCCEEDED, fault)
        outcome.body, outcome.usage, outcome.stop_reason = reply.body, reply.usage, reply.stop_reason
        return outcome

    def outcome(
        self,
        call: Call,
        status: RecordStatus | None = None,
        error: ProviderError | None = None,
        *,
        blamed: bool = False,
    ) -> Outcome:
        return Outcome(
            job=self._job,
            claim=self._claim,
            call=call,
            status=status,
            error_type=None if error is None else error.type,
            error_message=None if error is None else error.message,
            error_status=None if error is None else error.status,
            error_body=None if error is None else _body_of(error),
            blamed=blamed,
        )

    def rejected(self, error: ProviderError) -> Outcome:
        """The record fails before any call of it leaves."""
        return self.outcome(Call(ledger.UNSENT, self._job.model), RecordStatus.FAILED, error)

    def outcome_so_far(self, why: str, again_in: float | None = None) -> Outcome:
        """The failure or result at hand, else the call in flight as unconfirmed, else no call.

        `why` is the error type of a call in flight. The record may be claimed again in `again_in` seconds.
        """
        outcome = self.uncommitted or self.result
        if outcome is None:
            call = (
                Call(ledger.UNSENT, self.model)
                if self._started is None
                else self._unconfirmed(why, time.monotonic() - self._started)
            )
            outcome = self.outcome(call)
        outcome.again_in = again_in
        return outcome

    def next_attempt(self) -> None:
        """The failure is committed, and the next call may leave."""
        assert self.uncommitted is not None
        self._claim.attempt += 1
        self._claim.tries += self.uncommitted.blamed
        self.uncommitted = self.result = None

    def _unconfirmed(self, error_type: str, seconds: float) -> Call:
        call = ledger.unconfirmed(
            self.model,
            self.params,
            self._claim.held_bytes + self._added_bytes,
            self.max_tokens,
            error_type,
            seconds,
            sent_at=self._sent_at,
        )
        return ledger.as_reserved(call, self._claim.reserved)


def _body_of(error: ProviderError) -> bytes | None:
    """A refusal's JSON as its provider wrote it; None where there is none, or one too long to keep."""
    if error.body is None:
        return None
    try:
        body = to_json(error.body)
    except ValueError:
        return None
    return body if len(body) <= LONGEST_REFUSAL else None
