"""The broker as an operator sees it: whether it answers, and how long its queues are."""

from collections.abc import Sequence

import redis
from kombu.connection import Connection

from app.core.monitoring import redis_refusal
from app.errors import Unavailable
from config import settings

CONTROL, SLICES = QUEUES = ("control", "slices")
PATIENCE = 1  # seconds


def is_redis() -> bool:
    return settings.current().broker_url.startswith("redis")


def reach() -> None:
    """Raise what a client of the broker raises when it does not answer within a second."""
    _redis_lengths(()) if is_redis() else _amqp_lengths(())


def check_redis() -> None:
    """Raise `Unavailable` if a Redis refuses what the settings say of it; one that is away may yet be right.

    Without this a process would try for ever, or fail with its first request.
    """
    chosen = settings.current()
    urls = [chosen.results_url, chosen.limiter_url, *([chosen.broker_url] if is_redis() else [])]
    for url in dict.fromkeys(urls):
        try:
            with _client(url) as client:
                client.ping()
        except redis.RedisError as error:
            if (why := redis_refusal.of(url, error)) is not None:
                raise Unavailable(why) from None


def queue_lengths() -> dict[str, int]:
    """Messages that wait in each queue, without those that workers have fetched."""
    lengths = _redis_lengths(QUEUES) if is_redis() else _amqp_lengths(QUEUES)
    return dict(zip(QUEUES, lengths, strict=True))


def _redis_lengths(queues: Sequence[str]) -> list[int]:
    url = settings.current().broker_url
    with _client(url) as client:
        pipe = client.pipeline(transaction=False)
        pipe.ping()
        for queue in queues:
            pipe.llen(settings.current().redis_prefix + queue)
        return [int(length) for length in pipe.execute()[1:]]


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)


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
