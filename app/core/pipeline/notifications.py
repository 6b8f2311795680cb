"""Notifies a job's readers over Redis. A message carries no facts, only that rows of the job have changed."""

import time
from collections.abc import Iterable

import redis
import structlog
from redis.client import PubSub

from app.core.breaker import Breaker
from app.core.outages import servers
from config import settings
from config.once import once

log = structlog.get_logger(__name__)

# Prefix of a job's channel. All databases of a Redis share its channels, hence our name. If a release beside
# this one listens elsewhere nothing is lost: readers poll once a second anyway.
CHANNEL = "penstock:job:"
# Seconds until a thread that only listens tries an absent Redis again: it delays nobody, and live events are
# late for that long.
LISTEN_AGAIN = 1.0
AT_ONCE = 10_000  # messages read in one go

_breaker = Breaker()  # commits and requests wait for a publish


@once
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.current().limiter_url, socket_timeout=1, socket_connect_timeout=1)


def reachable() -> bool:
    """Whether Redis answers within a second."""
    try:
        return bool(_client().ping())
    except redis.RedisError:
        return False


def publish(job_ids: Iterable[int]) -> None:
    """Notify that rows of these jobs have changed. Best effort: readers poll once a second anyway."""
    if _breaker.is_open:
        return
    try:
        pipe = _client().pipeline(transaction=False)
        for job_id in job_ids:
            pipe.publish(f"{CHANNEL}{job_id}", b"")
        pipe.execute()
    except redis.RedisError as error:
        _breaker.trip()  # nothing is lost
        servers.tell(error, "events")
    except Exception:  # who publishes has just written paid answers, and has others to write
        _breaker.trip()
        log.exception("readers.not_notified")


class Listener:
    """Listens on one connection; while Redis is away it returns nothing, after the same time."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
        self._pubsub: PubSub | None = None
        self._breaker = Breaker(LISTEN_AGAIN)

    def listen(self, timeout: float) -> set[int]:
        """Jobs that have changed, as soon as there are any; none after `timeout` seconds."""
        started = time.monotonic()
        if self._breaker.is_open:
            time.sleep(timeout)
            return set()
        try:
            return self._receive(timeout)
        except (redis.RedisError, OSError) as error:
            servers.tell(error, "events")
            self._forget()
            time.sleep(max(0.0, timeout - (time.monotonic() - started)))
            return set()

    def close(self) -> None:
        self._forget()
        self._redis.close()

    def _receive(self, timeout: float) -> set[int]:
        if self._pubsub is None:
            self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
            self._pubsub.psubscribe(f"{CHANNEL}*")
        changed: set[int] = set()
        message = self._pubsub.get_message(timeout=timeout)
        while message is not None and len(changed) < AT_ONCE:
            job_id = message["channel"].rpartition(b":")[2]
            if job_id.isdigit():  # anyone may publish here
                changed.add(int(job_id))
            message = self._pubsub.get_message(timeout=0)
        return changed

    def _forget(self) -> None:
        self._breaker.trip()
        if self._pubsub is not None:
            self._pubsub.close()
            self._pubsub = None
