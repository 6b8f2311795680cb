"""How the limits' scripts reach Redis."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from app.errors import LimiterAway
from config import settings

ANSWER = 2  # seconds that Redis has for one
_HERE = Path(__file__).parent


def connect(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url, socket_timeout=ANSWER, socket_connect_timeout=1, health_check_interval=30, decode_responses=True
    )


def guarded(call: Callable[[], Any]) -> Any:
    """What `call` returns; raises `LimiterAway` when Redis does not answer."""
    try:
        return call()
    except redis.RedisError as error:
        raise LimiterAway(str(error)) from error


def script_text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def key(kind: str, *owner: object) -> str:
    """The key `kind:{owner}`, as the scripts' KEYS name it.

    In a database of its own it has no prefix, unlike Celery's keys: a release runs beside the one before it,
    and under different names each would grant the whole limit. Names can change over two releases: one takes
    from both keys, all or nothing, and the next only from the new one.
    """
    return settings.current().redis_prefix + ":".join((kind, *map(str, owner)))
