"""The broker as an operator sees it: whether it answers, and how long its queues are."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import redis
from kombu.connection import Connection

from app.errors import Unavailable
from config import settings

CONTROL, SLICES = QUEUES = ("control", "slices")
PATIENCE = 1  # seconds
TOO_FEW = (
    "the server of REDIS_URL has no database {number}: set REDIS_ONE_DATABASE=true, so that all is kept in"
    " the one that REDIS_URL names, or use a server with the two databases after it"
)


def is_redis() -> bool:
    return settings.current().broker_url.startswith("redis")


def reach() -> None:
    """Raise what a client of the broker raises when it does not answer within a second."""
    _redis_lengths(()) if is_redis() else _amqp_lengths(())


def check_databases() -> None:
    """Raise `Unavailable` if Redis has not the databases that are used; one that is away may have them."""
    chosen = settings.current()
    for url in {chosen.limiter_url, chosen.results_url}:
        with redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE) as client:
            try:
                client.ping()
            except redis.ResponseError as error:
                if "out of range" in str(error):
                    raise Unavailable(TOO_FEW.format(number=urlsplit(url).path.strip("/"))) from None
            except redis.RedisError:
                pass


def queue_lengths() -> dict[str, int]:
    """Messages that wait in each queue, without those that workers have fetched."""
    lengths = _redis_lengths(QUEUES) if is_redis() else _amqp_lengths(QUEUES)
    return dict(zip(QUEUES, lengths, strict=True))


def _redis_lengths(queues: Sequence[str]) -> list[int]:
    url = settings.current().broker_url
    with redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE) as client:
        pipe = client.pipeline(transaction=False)
        pipe.ping()
        for queue in queues:
            pipe.llen(settings.current().redis_prefix + queue)
        return [int(length) for length in pipe.execute()[1:]]


def _amqp_lengths(queues: Sequence[str]) -> list[int]:
    with Connection(settings.current().broker_url, connect_timeout=PATIENCE) as connection:  # type: ignore[no-untyped-call]
        connection.ensure_connection(max_retries=1, timeout=PATIENCE)
        return [_amqp_length(connection, queue) for queue in queues]


def _amqp_length(connection: Connection, queue: str) -> int:
    # A refusal closes the channel that it came on.
    with connection.channel() as channel:  # type: ignore[no-untyped-call]
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except connection.channel_errors:
            return 0  # the queue has not been used yet
