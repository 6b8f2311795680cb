"""Sending webhooks: at once by a message, and with each tick whatever is due.

The task only wakes the process's sender: an attempt may take twenty seconds, and threads are for what is
next of a job.
"""

from kombu.exceptions import OperationalError as BrokerError
from redis import RedisError

from app.core.outages import servers
from app.core.webhooks.sender import Sender
from tasks.celery import app

_sender = Sender()


@app.task(name="penstock.deliver")
def deliver() -> None:
    _sender.wake()


def request() -> None:
    """Ask a control worker to send what is due. Raises when the broker is away; the tick finds it then."""
    app.signature("penstock.deliver").apply_async(retry=False)


def request_if_reachable() -> None:
    """The same for one who must not fail."""
    try:
        request()
    except (BrokerError, RedisError, OSError) as error:
        servers.tell(error, "webhooks")


def wake() -> None:
    """Send what is due from this process."""
    _sender.wake()


def stop() -> None:
    """Start no more attempts."""
    _sender.stop()


def wait(grace: float) -> None:
    """Let attempts in flight end, for `grace` seconds at most."""
    _sender.wait(grace)
