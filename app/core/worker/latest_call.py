"""What is known of a record's latest call, and the outcomes that follow from it."""

import datetime as dt
import time
from typing import Any

from app.core.money import ledger
from app.core.money.ledger import Call
from app.core.pipeline.outcomes import Outcome
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.errors import Booking, ProviderError
from app.providers.client import Reply
from models.record import RecordStatus


class LatestCall:
    """Used on the event loop. `params`, the record's request, are set before its first call leaves."""

    def __init__(self, job: JobContext, claim: Claim) -> None:
        self._job, self._claim = job, claim
        self.params: dict[str, Any] = {}
        self.result: Outcome | None = None  # of the call, from its end until the next one leaves
        self.uncommitted: Outcome | None = None  # a failure, to be committed before the next call leaves
        self._started: float | None = None  # monotonic, while the call is in flight
        self._sent_at = dt.datetime.now(dt.UTC)  # decides which price holds

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
        self._started = time.monotonic()
        self._sent_at = dt.datetime.now(dt.UTC)

    def end(self) -> float:
        """The call has ended; returns the seconds that it took."""
        assert self._started is not None
        seconds, self._started = time.monotonic() - self._started, None
        return seconds

    def answered(self, reply: Reply, seconds: float) -> Call:
        """The ledger's entry of a call that was answered."""
        return ledger.answered(
            self.model, self.params, reply.usage, reply.request_id, seconds, sent_at=self._sent_at
        )

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
            self._claim.held_bytes,
            self.max_tokens,
            error_type,
            seconds,
            sent_at=self._sent_at,
        )
        return ledger.as_reserved(call, self._claim.reserved)
