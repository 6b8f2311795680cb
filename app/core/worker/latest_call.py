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
    """Of one record, on the event loop. Its `params` are known before its first call leaves."""

    def __init__(self, job: JobContext, claim: Claim) -> None:
        self._job, self._claim = job, claim
        self.params: dict[str, Any] = {}
        self.result: Outcome | None = None  # what it came to, until that is handed on
        self.uncommitted: Outcome | None = (
            None  # the failure before the call that is due, to be written first
        )
        self._started: float | None = None  # monotonic, while it is out
        self._sent_at = dt.datetime.now(dt.UTC)  # it pays the price of then

    @property
    def model(self) -> str:
        return str(self.params.get("model", self._job.model))

    @property
    def max_tokens(self) -> int:
        return int(self.params.get("max_tokens", self._job.max_tokens))

    @property
    def is_out(self) -> bool:
        return self._started is not None

    @property
    def has_permit_unused(self) -> bool:
        """Whether the record waits for its call; the permit of a call that ended was settled."""
        return not self.is_out and (self.result is None or self.uncommitted is not None)

    @property
    def ended_the_record(self) -> Outcome | None:
        """Its result, when the record has ended by it: it is paid for, and is not yet written."""
        return self.result if self.result is not None and self.result.status is not None else None

    def leave(self) -> None:
        self.result = None
        self._started = time.monotonic()
        self._sent_at = dt.datetime.now(dt.UTC)

    def come_back(self) -> float:
        """Seconds that the call took."""
        assert self._started is not None
        seconds, self._started = time.monotonic() - self._started, None
        return seconds

    def answered(self, reply: Reply, seconds: float) -> Call:
        return ledger.answered(
            self.model, self.params, reply.usage, reply.request_id, seconds, sent_at=self._sent_at
        )

    def failed(self, error: ProviderError, seconds: float) -> Call:
        """The call as the ledger books it that ended with `error`."""
        if error.booking is Booking.UNCONFIRMED:
            return self._unconfirmed(error.type, seconds)
        return Call(
            error.booking.value,
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

    def broken_off(self, why: str, again_in: float | None = None) -> Outcome:
        """What is known of it when it ends before its time, for the reason `why`.

        A failure that waits to be written is what is known; else a call that is out stands as unconfirmed.
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
        """The failure is written, and the call that is due may leave."""
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
