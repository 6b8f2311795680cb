"""Sending webhooks: at once by a message, and with each tick whatever is due.

The task only wakes the process's sender: an attempt may take twenty seconds, and threads are for what is
next of a job. For Flower each delivery is a task, which is retried until its receiver has taken it.
"""

import time
from typing import Any
from urllib.parse import urlsplit

import structlog
from celery.signals import worker_ready
from kombu.exceptions import OperationalError as BrokerError
from redis import RedisError

from app.core.breaker import Breaker
from app.core.webhooks.claims import Claim
from app.core.webhooks.sender import Sender
from app.core.webhooks.transport import Answer
from models.webhook import DeliveryStatus
from tasks.celery import app
from tasks.flower.words import Told

log = structlog.get_logger()

SLOW = 0.5  # seconds that an event may take before the next ones are left out for a while
DELIVERY = "penstock.delivery"
EVENTS = {
    DeliveryStatus.PENDING: "task-retried",
    DeliveryStatus.SUCCEEDED: "task-succeeded",
    DeliveryStatus.FAILED: "task-failed",
}


class _Events:
    """Tells Flower of deliveries, by the worker's own connection, where there is one.

    Nobody needs it: no delivery fails, or waits for a broker that does not answer, because of an event.
    """

    def __init__(self) -> None:
        self.consumer: Any = None
        self._breaker = Breaker()

    def begun(self, claim: Claim) -> None:
        args = f"{claim.event_type} → {urlsplit(claim.url).netloc} · {claim.event_id}"
        self._send("task-received", claim, name=DELIVERY, args=args, kwargs="{}", retries=claim.attempts)

    def ended(self, claim: Claim, answer: Answer, status: DeliveryStatus, seconds: float) -> None:
        result = f"{answer.error or answer.status} at attempt {claim.attempts + 1}"
        self._send(EVENTS[status], claim, result=result, runtime=seconds)

    def _send(self, kind: str, claim: Claim, **fields: Any) -> None:
        dispatcher = None if self.consumer is None else self.consumer.event_dispatcher
        if dispatcher is None or self._breaker.is_open:
            return
        began = time.monotonic()
        try:
            dispatcher.send(kind, uuid=str(claim.uid), **fields)
        except Exception as error:  # whatever the broker's library raises
            log.warning("event.lost", error=type(error).__name__)
        if time.monotonic() - began > SLOW:
            self._breaker.trip()


_events = _Events()
_sender = Sender(_events)


@worker_ready.connect
def _listen(sender: Any, **_: Any) -> None:
    _events.consumer = sender


@app.task(name="penstock.deliver", send_events=False)
def deliver() -> Told:
    _sender.wake()
    return Told("what is due is being sent")


def request() -> None:
    """Ask a control worker to send what is due. Raises when the broker is away; the tick finds it then."""
    app.signature("penstock.deliver").apply_async(retry=False)


def request_if_reachable() -> None:
    """The same for one who must not fail."""
    try:
        request()
    except (BrokerError, RedisError, OSError) as error:
        log.warning("broker.away", error=type(error).__name__)


def wake() -> None:
    """Send what is due from this process."""
    _sender.wake()


def stop() -> None:
    """Start no more attempts."""
    _sender.stop()


def wait(grace: float) -> None:
    """Let attempts in flight end, for `grace` seconds at most."""
    _sender.wait(grace)
