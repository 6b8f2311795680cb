"""Handing stored documents over: with every tick, and as soon as a window of them has ended."""

from redis import RedisError

from app.core.documents import handoff
from app.core.outages import servers


def hand_over() -> None:
    """Push the offered documents; without Redis they stay offered."""
    try:
        handoff.push()
    except RedisError as error:
        servers.tell(error, "handoff")
