"""Telling readers to look: Redis carries no facts, only that rows of a job have moved."""

from collections.abc import Iterable
from functools import cache

import redis

from config import settings

CHANNELS = "job:*"


def channel(job_id: int) -> str:
    return f"job:{job_id}"


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.current().limiter_url, socket_timeout=1, socket_connect_timeout=1)


def reachable() -> bool:
    """Whether Redis answers within a second."""
    try:
        return bool(_client().ping())
    except redis.RedisError:
        return False


def look(job_ids: Iterable[int]) -> None:
    """Say that rows of these jobs have moved. Best effort: readers look once a second anyway."""
    try:
        pipe = _client().pipeline(transaction=False)
        for job_id in job_ids:
            pipe.publish(channel(job_id), b"")
        pipe.execute()
    except redis.RedisError:
        pass  # nothing is lost with it, and whoever needs Redis says that it is away
