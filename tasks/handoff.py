"""Handing stored documents over: with every tick, and as soon as a window of them has ended."""

import structlog
from redis import RedisError

from app.core.documents import handoff

log = structlog.get_logger()


def hand_over() -> None:
    """Push the offered documents; without Redis they stay offered."""
    try:
        handoff.push()
    except RedisError as error:
        log.warning("handoff.redis_away", error=type(error).__name__)
