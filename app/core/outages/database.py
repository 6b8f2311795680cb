"""The database as a server that a process may miss. Beat and Flower have none, and do without SQLAlchemy."""

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
from app.errors import Unavailable
from models.session import engine

_REVISION = text("SELECT version_num FROM alembic_version")
_DID_ANSWER = (DataError, IntegrityError, NotSupportedError, ProgrammingError)


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


DATABASE = Outage("database", _database)
NOT_MIGRATED = Outage("database", _migrated_database)


def did_not_answer(error: BaseException) -> bool:
    if isinstance(error, PoolTimeout):
        return True
    return isinstance(error, DBAPIError) and not (isinstance(error, _DID_ANSWER) or lacks_tables(error))


def lacks_tables(error: BaseException) -> bool:
    """Whether a statement named what the database has not: it is not migrated, or the statement is wrong."""
    return isinstance(error, ProgrammingError) or (
        isinstance(error, OperationalError) and "no such" in str(error.orig)
    )


def is_not_migrated(during: str, error: str) -> bool:
    """Whether that is why, which the log says once then; asked about an error of a statement."""
    why = _why_not_migrated()
    if why is None and NOT_MIGRATED.is_over:
        return False
    NOT_MIGRATED.noticed(during, error, why)
    return True


def _why_not_migrated() -> str | None:
    """None where it is, or cannot say."""
    try:
        return _why_not_current(engine())
    except SQLAlchemyError:
        return None


def _why_not_current(chosen: Engine) -> str | None:
    from models import migrate  # Alembic: not needed at startup

    return migrate.why_not_current(chosen)


def _name(url: URL) -> str:
    """Where a database is: its server and name, or its file."""
    port = f":{url.port}" if url.port else ""
    return f"{url.host}{port}/{url.database}" if url.host else str(url.database)
