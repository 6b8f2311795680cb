"""The servers that a process may miss, and whose absence an error shows."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import redis
import structlog
from kombu.connection import Connection
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy import URL, Engine, text
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.outages.outage import Outage, Server
from app.errors import LimiterAway, Unavailable
from config import settings
from models.session import engine

log = structlog.get_logger("app.core.outages")

LONGEST = 200  # characters of what a server says
PATIENCE = 1  # seconds that a look waits for Redis or the broker

_REVISION = text("SELECT version_num FROM alembic_version")
_DID_ANSWER = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
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


def _database() -> Server:
    chosen = engine()

    def reach() -> None:
        with chosen.connect().execution_options(reads_only=True) as connection:
            connection.execute(_REVISION)

    return Server(_name(chosen.url), reach)


def _migrated_database() -> Server:
    chosen = engine()

    def reach() -> None:
        if (why_not := _why_not_current(chosen)) is not None:
            raise Unavailable(why_not)

    return Server(_name(chosen.url), reach)


REDIS = Outage("redis", _redis)
BROKER = Outage("broker", _broker)  # where it is not on the Redis of the limits: RabbitMQ, for example
DATABASE = Outage("database", _database)
NOT_MIGRATED = Outage("database", _migrated_database)


def broker() -> Outage:
    """The server that holds Celery's messages."""
    chosen = settings.current()
    return REDIS if _place(chosen.broker_url) == _place(chosen.limiter_url) else BROKER


def of(error: BaseException) -> Outage | None:
    """The server that does not answer, by an error or by what caused it; None where all of them did."""
    for one in _causes(error):
        if isinstance(one, LimiterAway | redis.RedisError):
            return REDIS
        if isinstance(one, PoolTimeout) or (isinstance(one, DBAPIError) and _did_not_answer(one)):
            return DATABASE
        if isinstance(one, BrokerError | ConnectionError | TimeoutError):
            return broker()
    return None


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
    if not any(_lacks_tables(one) for one in _causes(error)):
        return False
    why = _why_not_migrated()
    if why is None and NOT_MIGRATED.is_over:
        return False
    NOT_MIGRATED.noticed(during, kind(error), why)
    return True


def kind(error: BaseException) -> str:
    """What the log calls an error: its message may quote a row or a password, its name does not."""
    for one in _causes(error):
        if isinstance(one, DBAPIError):
            return type(one.orig).__name__
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


def _did_not_answer(error: DBAPIError) -> bool:
    return not isinstance(error, _DID_ANSWER) and not _lacks_tables(error)


def _lacks_tables(error: BaseException) -> bool:
    """Whether a statement named what the database has not: it is not migrated, or the statement is wrong."""
    return isinstance(error, ProgrammingError) or (
        isinstance(error, OperationalError) and "no such" in str(error.orig)
    )


def _why_not_migrated() -> str | None:
    """None where it is, or cannot say."""
    try:
        return _why_not_current(engine())
    except SQLAlchemyError:
        return None


def _why_not_current(chosen: Engine) -> str | None:
    from models import migrate  # Alembic: not needed at startup

    return migrate.why_not_current(chosen)


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _name(url: URL) -> str:
    """Where a database is: its server and name, or its file."""
    port = f":{url.port}" if url.port else ""
    return f"{url.host}{port}/{url.database}" if url.host else str(url.database)
