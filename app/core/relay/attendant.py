"""The worker's side of a call that somebody waits for: how it is asked, and what its caller is told."""

from functools import partial
from typing import Any, Protocol

from redis.asyncio import Redis

from app.core.pipeline.outcomes import Outcome
from app.core.relay.frames import Kind, Sender
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.errors import ConnectionCut, ProviderError, RateLimited, RequestRejected
from app.providers.client import Client, Reply, Streaming
from models.job import STREAM
from models.record import RecordStatus

LONGEST_PAUSE = 30.0  # seconds after which a caller is told to come again; SDKs obey whatever they are told


class Rejects(Protocol):
    """What is known of a record's latest call."""

    def rejected(self, error: ProviderError) -> Outcome:
        """The record fails before any call of it leaves."""


class Attendant:
    """Whoever waits for a record's answer, if anybody does. Used on the event loop."""

    def __init__(self, client: Redis, job: JobContext, claim: Claim) -> None:
        self._sender = None if job.attended is None else Sender(client, job.job_id)
        self._job, self._claim = job, claim
        self.fault: ProviderError | None = None  # why there is no answer

    @property
    def is_there(self) -> bool:
        return self._sender is not None

    def check(self) -> None:
        """Raise `RequestRejected` for a stream that was cut: what was read of it cannot be taken back."""
        if self._job.attended == STREAM and self._claim.attempt > 1:
            fault = RequestRejected(
                "the process that passed the answer on has ended: ask again", type=ConnectionCut.type
            )
            fault.shown_as = ConnectionCut.shown_as
            raise fault

    def cannot_wait(self, latest: Rejects, seconds: float) -> Outcome | None:
        """The end of a record that in a batch would be asked in so many seconds; None where it waits."""
        if self._sender is None:
            return None
        return self.rejected(
            latest,
            RateLimited(
                f"the limit group {self._job.group} takes no calls for {seconds:.0f} s",
                retry_after=min(seconds, LONGEST_PAUSE),
            ),
        )

    def rejected(self, latest: Rejects, error: ProviderError) -> Outcome:
        """The end of a record for which no call leaves."""
        self.fault = error
        return latest.rejected(error)

    async def ask(self, client: Client, params: dict[str, Any]) -> Reply:
        """Make the call, and pass on what comes of its answer; raises what the client does."""
        said: dict[str, Any] = {
            "deadline": self._job.deadline,
            "attempt": self._claim.attempt,
            "headers": self._job.headers,
        }
        if self._sender is None:
            return await client.ask(params, **said)
        self._sender.put(Kind.SENT, str(self._claim.lease_id).encode())
        if self._job.attended != STREAM:
            return await client.ask(params, **said)
        if not isinstance(client, Streaming):
            raise RequestRejected(f"model {self._job.model!r} does not stream: ask without `stream`")
        return await client.stream(params, **said, hand_on=partial(self._sender.put, Kind.DATA))

    def tell(self, outcome: Outcome | None) -> None:
        """Tell the caller how the record ended, if it did."""
        if self._sender is None or outcome is None or outcome.status is None:
            return
        if outcome.status is not RecordStatus.SUCCEEDED:
            self._sender.failed(self._facts(outcome))
        elif self._job.attended == STREAM:
            self._sender.put(Kind.END)
        else:
            self._sender.put(Kind.WHOLE, outcome.body or b"")

    def _facts(self, outcome: Outcome) -> dict[str, Any]:
        fault = self.fault
        return {
            "type": outcome.error_type,
            "message": outcome.error_message,
            "status": 502 if fault is None else fault.shown_as,
            "retry_after": None if fault is None else fault.retry_after,
            "body": None if fault is None else fault.body,
        }
