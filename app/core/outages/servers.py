"""The servers that a process may miss, and whose absence an error shows."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import redis
import structlog
from kombu.connection import Connection
from kombu.exceptions import OperationalError as BrokerError

from app.core.outages.outage import Outage, Server
from app.errors import LimiterAway
from config import settings

log = structlog.get_logger("app.core.outages")

LONGEST = 200  # characters of what a server says
PATIENCE = 1  # seconds that a look waits for Redis or the broker

_DEEPEST = 5  # causes of an error that are looked at


def _redis() -> Server:
    url = settings.current().limiter_url

    def reach() -> None:
        with redis.Redis.from_url(
            url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=None
        ) as client:
            client.ping()

    return Server(_place(url), reach)


def _broker() -> Server:
    url = settings.current().broker_url

    def reach() -> None:
        with Connection(url, connect_timeout=PATIENCE) as connection:  # type: ignore[no-untyped-call]
            connection.ensure_connection(max_retries=1, timeout=PATIENCE)

    return Server(_place(url), reach)


REDIS = Outage("redis", _redis)
BROKER = Outage("broker", _broker)  # where it is not on the Redis of the limits: RabbitMQ, for example


def broker() -> Outage:
    """The server that holds Celery's messages."""
    chosen = settings.current()
    return REDIS if _place(chosen.broker_url) == _place(chosen.limiter_url) else BROKER


def of(error: BaseException) -> Outage | None:
    """The server that does not answer, by an error or by what caused it; None where all of them did."""
    for one in _causes(error):
        if isinstance(one, LimiterAway | redis.RedisError):
            return REDIS
        if _is_of_sqlalchemy(one):
            from app.core.outages import database  # with SQLAlchemy, which beat and Flower do without

            if database.did_not_answer(one):
                return database.DATABASE
        if isinstance(one, BrokerError | ConnectionError | TimeoutError):
            return broker()
    return None


def is_of_theirs(error: BaseException | None) -> bool:
    """Whether an error is one of Redis's or the database's client, not that of just any connection."""
    return isinstance(error, LimiterAway | redis.RedisError) or _is_of_sqlalchemy(error)


def tell(error: BaseException, during: str) -> None:
    """Have the log say once that a server is away; any other error is a fault of ours, with its traceback.

    For whoever goes on without what it was doing: `during`, in a word or two.
    """
    if not is_noticed(error, during):
        log.error("unexpected_error", during=during, exc_info=error)


def is_noticed(error: BaseException, during: str) -> bool:
    """Whether the error shows that a server cannot be used, which the log says once then."""
    outage = of(error)
    if outage is not None:
        outage.noticed(during, kind(error), _refusal(error))
        return True
    statements = [one for one in _causes(error) if _is_of_sqlalchemy(one)]
    if not statements:
        return False
    from app.core.outages import database

    return any(map(database.lacks_tables, statements)) and database.is_not_migrated(during, kind(error))


def kind(error: BaseException) -> str:
    """What the log calls an error: its message may quote a row or a password, its name does not."""
    for one in _causes(error):
        if _is_of_sqlalchemy(one) and (driver := getattr(one, "orig", None)) is not None:
            return type(driver).__name__
        if not isinstance(one, LimiterAway | BrokerError):  # they stand for what caused them
            return type(one).__name__
    return type(error).__name__


def _refusal(error: BaseException) -> str | None:
    """What a Redis says that answers and serves nobody, such as a full one.

    Of a pipeline its client puts the command before it, with what was to be stored.
    """
    for one in _causes(error):
        if isinstance(one, redis.ResponseError):
            return str(one).rpartition("of pipeline caused error: ")[2][:LONGEST]
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    for _ in range(_DEEPEST):
        if one is None:
            return
        yield one
        one = one.__cause__ or one.__context__


def _is_of_sqlalchemy(error: BaseException | None) -> bool:
    return type(error).__module__.startswith("sqlalchemy.")


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
