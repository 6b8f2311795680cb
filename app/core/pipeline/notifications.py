"""Who reads a job is notified over Redis, which carries no facts: only that rows of the job have changed."""

import time
from collections.abc import Iterable
from functools import cache

import redis
from redis.client import PubSub

from app.core.breaker import Breaker
from config import settings

# A job's channel, before its number. All databases of a Redis share their channels, hence our name. Beside a
# release that listens elsewhere nothing is lost: readers look once a second anyway.
CHANNEL = "penstock:job:"
# Seconds until an absent Redis is tried again by a thread that only listens: it holds nobody up, and live
# events are late for as long.
LISTEN_AGAIN = 1.0
AT_ONCE = 10_000  # messages that are read before anything else is done

_breaker = Breaker()  # a commit or a request waits for it


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.current().limiter_url, socket_timeout=1, socket_connect_timeout=1)


def reachable() -> bool:
    """Whether Redis answers within a second."""
    try:
        return bool(_client().ping())
    except redis.RedisError:
        return False


def publish(job_ids: Iterable[int]) -> None:
    """Say that rows of these jobs have moved. Best effort: readers look once a second anyway."""
    if _breaker.is_open:
        return
    try:
        pipe = _client().pipeline(transaction=False)
        for job_id in job_ids:
            pipe.publish(f"{CHANNEL}{job_id}", b"")
        pipe.execute()
    except redis.RedisError:
        _breaker.trip()  # nothing is lost with it, and whoever needs Redis says that it is away


class Listener:
    """Listens on one connection; when Redis is away it hears nothing, and takes as long."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
        self._pubsub: PubSub | None = None
        self._breaker = Breaker(LISTEN_AGAIN)

    def listen(self, timeout: float) -> set[int]:
        """Jobs that moved, as soon as there are any; none after `timeout` seconds."""
        started = time.monotonic()
        if self._breaker.is_open:
            time.sleep(timeout)
            return set()
        try:
            return self._hear(timeout)
        except (redis.RedisError, OSError):
            self._forget()
            time.sleep(max(0.0, timeout - (time.monotonic() - started)))
            return set()

    def close(self) -> None:
        self._forget()
        self._redis.close()

    def _hear(self, timeout: float) -> set[int]:
        if self._pubsub is None:
            self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
            self._pubsub.psubscribe(f"{CHANNEL}*")
        heard: set[int] = set()
        message = self._pubsub.get_message(timeout=timeout)
        while message is not None and len(heard) < AT_ONCE:
            job_id = message["channel"].rpartition(b":")[2]
            if job_id.isdigit():  # anybody may publish
                heard.add(int(job_id))
            message = self._pubsub.get_message(timeout=0)
        return heard

    def _forget(self) -> None:
        self._breaker.trip()
        if self._pubsub is not None:
            self._pubsub.close()
            self._pubsub = None
