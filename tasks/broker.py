"""kombu's Redis transport, except for what it does with an item of a list that is not a message.

Anything that can write to the broker's Redis can push one; kombu 5.7 lets the error end the worker, and
whatever starts it again finds the next.
"""

from queue import Empty
from typing import Any

import structlog
from celery.signals import beat_init, celeryd_init
from kombu.transport import TRANSPORT_ALIASES, redis, virtual

from app.core.monitoring.broker import check_redis
from app.errors import Unavailable
from config import logs

log = structlog.get_logger(__name__)

SCHEMES = ("redis", "rediss")
NOT_DECODED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


class Channel(redis.Channel):
    """Drops what is not JSON."""

    def _brpop_read(self, **options: Any) -> Any:
        before = self.connection.delivered
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except NOT_DECODED as error:
            if self.connection.delivered > before:
                raise  # it was a message, and the error is its receiver's
            log.warning("broker.junk_dropped", error=type(error).__name__)
            raise Empty from None


class Transport(redis.Transport):
    """Drops JSON that is not a message."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self.delivered = 0  # items that were JSON

    def _deliver(self, message: Any, queue: str) -> None:
        self.delivered += 1
        if self._is_message(message):
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]
        else:
            log.warning("broker.junk_dropped", queue=queue, error="not a message")

    def _is_message(self, found: Any) -> bool:
        try:
            read = virtual.Message(found, channel=self.channels[0])  # type: ignore[no-untyped-call]
            info = read.delivery_info
            return isinstance(info["exchange"], str) and isinstance(info["routing_key"], str)
        except NOT_DECODED:
            return False


@celeryd_init.connect
@beat_init.connect
def _check_redis(**_: Any) -> None:
    """Without this Celery would try for ever to connect to a server that refuses it."""
    try:
        check_redis()
    except Unavailable as error:
        logs.end_with(error.message)


def install() -> None:
    """Have kombu use this transport for addresses of Redis, by the names that it reports itself."""
    TRANSPORT_ALIASES.update(dict.fromkeys(SCHEMES, "tasks.broker:Transport"))
