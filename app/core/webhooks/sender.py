"""Sends what is due: one thread with an event loop, in each process that is asked to, while there is work."""

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

import structlog
from sqlalchemy import select

from app.core.measures import metrics
from app.core.measures.counts import counts
from app.core.outages import servers
from app.core.webhooks import claims, outbox, outcomes, signing, transport
from app.core.webhooks.claims import Claim, InFlight
from app.core.webhooks.transport import Answer
from models.session import in_transaction, reading
from models.webhook import DeliveryStatus

log = structlog.get_logger(__name__)

ENDS: Mapping[DeliveryStatus | None, str] = {
    DeliveryStatus.SUCCEEDED: "sent",
    DeliveryStatus.FAILED: "given_up",
}
LOOK_AGAIN = 0.1  # seconds until the next look for what is due, unless all that is in flight ends before


class Watcher(Protocol):
    """Is told of each attempt, from any thread, and in the end what has become of its delivery."""

    def begun(self, claim: Claim) -> None: ...
    def ended(self, claim: Claim, answer: Answer, status: DeliveryStatus, seconds: float) -> None: ...


class Sender:
    """The sender of a process. What a killed one had in flight, another one finds in its row and sends."""

    def __init__(self, watcher: Watcher | None = None) -> None:
        self._watcher = watcher
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_wanted = False
        self._is_stopped = False

    def wake(self) -> None:
        """See to it that what is due is sent; returns at once."""
        with self._lock:
            self._is_wanted = True
            if self._thread is None and not self._is_stopped:
                self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Start no more attempts; those in flight end within twenty seconds."""
        self._is_stopped = True

    def wait(self, seconds: float) -> bool:
        """Wait until it has nothing left to do, `seconds` at most; whether it has not."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return thread is None or not thread.is_alive()

    def _run(self) -> None:
        try:
            while self._goes_on():
                asyncio.run(self._send_what_is_due())
        except Exception as error:  # the database is away; the next tick tries again
            servers.tell(error, "webhooks")
            with self._lock:
                self._thread = None

    def _goes_on(self) -> bool:
        """Whether somebody has asked for it since the last look; otherwise the thread is about to end."""
        with self._lock:
            wanted, self._is_wanted = self._is_wanted and not self._is_stopped, False
            if not wanted:
                self._thread = None
            return wanted

    async def _send_what_is_due(self) -> None:
        in_flight, sending = InFlight(), set[asyncio.Task[None]]()
        while True:
            for claim in [] if self._is_stopped else await asyncio.to_thread(self._take, in_flight.copy()):
                in_flight.begun(claim.tenant_id, claim.target)
                sending.add(asyncio.create_task(self._send(claim, in_flight)))
            if not sending:
                return
            _, sending = await asyncio.wait(sending, timeout=LOOK_AGAIN)

    def _take(self, in_flight: InFlight) -> Sequence[Claim]:
        with reading() as session:
            if not session.scalar(select(outbox.any_due)):
                return []
        claimed = in_transaction(partial(claims.claim, in_flight=in_flight))
        if self._watcher is not None:
            for claim in claimed:
                self._watcher.begun(claim)
        return claimed

    async def _send(self, claim: Claim, in_flight: InFlight) -> None:
        """Send it and write the outcome. What cannot be written is sent again, under the same id."""
        started = time.monotonic()
        try:
            answer = await _attempt(claim)
            await asyncio.to_thread(self._record, claim, answer, time.monotonic() - started)
        except Exception as error:
            log.warning("webhook.outcome_lost", event_id=claim.event_id, error=type(error).__name__)
        finally:
            in_flight.ended(claim)

    def _record(self, claim: Claim, answer: Answer, seconds: float) -> None:
        status = in_transaction(partial(outcomes.record, claim=claim, answer=answer))
        counts.add(metrics.WEBHOOK_CALLS, "delivered" if answer.succeeded else "failed")
        if status in ENDS:
            counts.add(metrics.WEBHOOKS_ENDED, ENDS[status])
        if self._watcher is not None and status is not None:
            self._watcher.ended(claim, answer, status, seconds)


async def _attempt(claim: Claim) -> Answer:
    if claim.unsigned is not None:
        return Answer(error=claim.unsigned)
    headers = signing.headers(claim.event_id, claim.body, claim.secrets, dt.datetime.now(dt.UTC))
    return await transport.post(claim.url, claim.body, headers, claim.tenant_id)
