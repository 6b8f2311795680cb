"""Messages that hurry a job along. The truth is in rows: losing every message delays a job by one sweep."""

from collections.abc import Callable

import structlog
from kombu.exceptions import OperationalError as BrokerError
from redis import RedisError

from app.core.breaker import Breaker
from app.core.pipeline import notifications
from app.errors import LimiterAway
from tasks.celery import app

log = structlog.get_logger()

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
        if not notifications.reachable():
            raise ConnectionError("Redis does not answer")
        send()
    except (BrokerError, LimiterAway, RedisError, OSError) as error:
        _breaker.trip()
        log.warning("broker.away", error=type(error).__name__)
