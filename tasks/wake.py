"""Messages that hurry a job along. The truth is in rows: losing every message delays a job by one sweep."""

from collections.abc import Callable

from kombu.exceptions import OperationalError as BrokerError
from redis import RedisError

from app.core.breaker import Breaker
from app.core.outages import servers
from app.core.pipeline import notifications
from app.errors import LimiterAway
from tasks.celery import app

_breaker = Breaker()


def wake(job_id: int, shown: str | None = None) -> None:
    """Ask a control worker to advance the job, which Flower shows as `shown`.

    Never raises; after a failure it does nothing for a while.
    """
    hurry(lambda: app.signature("penstock.advance", (job_id,)).apply_async(retry=False, argsrepr=shown))


def start(job_id: int) -> None:
    """Open a new job's first window from here, so that a small job is under way at once."""
    from tasks.advance import run

    hurry(lambda: run(job_id))


def hurry(send: Callable[[], object]) -> None:
    """Send if Redis answers; the tick finds what was not sent.

    Redis is pinged first, with a second's patience: a sender would hang for as long as Redis does, and a
    request with it.
    """
    if _breaker.is_open:
        return
    try:
        if notifications.reachable():
            send()
        else:
            _breaker.trip()
            servers.REDIS.noticed("wake", "NoAnswer")
    except (BrokerError, LimiterAway, RedisError, OSError) as error:
        _breaker.trip()
        servers.tell(error, "wake")
