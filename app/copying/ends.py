"""The two databases of a copy: at the newest revision, used by nobody else, the second one empty."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    delete,
    event,
    exists,
    inspect,
    literal,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import DatabaseError, OperationalError

from app.errors import BadInput, Conflict, NotFound, Unavailable
from app.stack.lock import holder
from config import settings
from config.settings import BadSetting
from models import Sweep, migrate
from models.base import Base
from models.session import make_engine

PATIENCE = 2_000  # milliseconds until a database that others use is given up
OTHERS = text(
    "SELECT concat_ws(' ', usename, nullif(application_name, ''), 'from ' || host(client_addr)) AS who,"
    " count(*) AS times FROM pg_stat_activity WHERE datname = current_database() AND usesysid IS NOT NULL"
    " AND pid <> pg_backend_pid() AND leader_pid IS NULL GROUP BY 1 ORDER BY 1"
)


def address(option: str, url: str) -> str:
    """`url` as settings have it, with our driver; raises `BadInput` that names the option."""
    try:
        return settings.read({"DATABASE_URL": url}).database_url
    except BadSetting as fault:
        raise BadInput(f"{option}: {str(fault).removeprefix('DATABASE_URL=')}") from None


@contextmanager
def source(url: str) -> Iterator[Connection]:
    """The database that is copied. Nobody else can write to it until the block ends."""
    path = _file(url)
    if path is not None and not path.is_file():
        raise NotFound(f"there is no database {path}: give --from the one that Penstock has used")
    with _alone("--from", url) as connection:
        with _named("--from", url):
            _check_revision(connection, url)
            if connection.dialect.name == "postgresql":
                tables = ", ".join(map(connection.dialect.identifier_preparer.format_table, _tables()))
                connection.execute(text(f"LOCK TABLE {tables} IN SHARE MODE"))
        yield connection


def _check_revision(connection: Connection, url: str) -> None:
    found, needed = migrate.revision_of(connection), migrate.newest()
    if found != needed:
        remedy = "copy it with that release" if migrate.is_ahead(found) else "run `penstock migrate`"
        raise Conflict(f"--from: {_shown(url)} is at revision {found}, but {needed} is needed: {remedy}")


@contextmanager
def target(url: str) -> Iterator[Connection]:
    """A transaction of the database that is copied into, which is migrated first and must be empty."""
    path = _file(url)
    if path is None or path.exists():
        with _alone("--to", url) as connection:  # before anything is changed there
            _check_ours(connection, url)
    with _named("--to", url):
        migrate.upgrade(url)
    with _alone("--to", url) as connection:
        with _named("--to", url):
            connection.execute(delete(Sweep))  # the only row that a migration has written
            _check_empty(connection, url)
        yield connection


def _check_ours(connection: Connection, url: str) -> None:
    found = migrate.revision_of(connection)
    if migrate.is_foreign(found) or (found is None and inspect(connection).get_table_names()):
        raise Conflict(f"--to: {_shown(url)} holds the tables of another program: give a new database")


def _check_empty(connection: Connection, url: str) -> None:
    for table in _tables():
        if connection.scalar(select(exists(select(literal(1)).select_from(table)))):
            raise Conflict(
                f"--to: {_shown(url)} is not empty, its table {table.name} has rows: give a new database"
            )


@contextmanager
def _named(option: str, url: str) -> Iterator[None]:
    """Let a database that cannot be used be that of `option`, instead of DATABASE_URL's."""
    try:
        yield
    except DatabaseError as error:
        why = " ".join(str(error.orig).split())
        if "lock timeout" in why:
            raise Conflict(_in_use(option, url, why)) from None
        raise Unavailable(
            f"{option}: {_shown(url)} cannot be used ({why}): it must be there, its server must run, and the"
            " role must own it (`createdb --owner=ROLE NAME`)"
        ) from None


@contextmanager
def _alone(option: str, url: str) -> Iterator[Connection]:
    """One transaction of a database that nobody else has open."""
    _refuse_running_stack(option, url)
    engine = _engine(url)
    try:
        with _opened(option, url, engine) as connection:
            _refuse_others(option, url, connection)
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _opened(option: str, url: str, engine: Engine) -> Iterator[Connection]:
    with _named(option, url):
        try:
            connection = engine.connect()
            connection.begin()
        except OperationalError as error:
            if "locked" not in str(error.orig):
                raise
            raise Conflict(_in_use(option, url, "another process has it open")) from None
    with connection:
        try:
            yield connection
        except BaseException:
            connection.invalidate()  # in the middle of a COPY, or lost: a rollback could fail
            raise


def _engine(url: str) -> Engine:
    engine = make_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _take_whole, insert=True)
    return engine


def _take_whole(connection: Any, _: object) -> None:
    """Open SQLite's file alone: this fails while another process has it open, and keeps others out then."""
    connection.execute(f"pragma busy_timeout={PATIENCE}")
    connection.execute("pragma locking_mode=exclusive")


def _refuse_running_stack(option: str, url: str) -> None:
    """A stack on the data directory of a SQLite database is named by its process."""
    path = _file(url)
    running = None if path is None else holder(path.parent)
    if running is not None:
        raise Conflict(f"{option}: a stack runs on {path} (process {running.pid}): stop it first")


def _refuse_others(option: str, url: str, connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        return
    connection.execute(text(f"SET LOCAL lock_timeout = {PATIENCE}"))
    # One of the two waits while the other one works.
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    others = connection.execute(OTHERS).all()
    if others:
        found = "connected: " + ", ".join(f"{row.who} ({row.times})" for row in others)
        raise Conflict(_in_use(option, url, found))


def _in_use(option: str, url: str, found: str) -> str:
    return (
        f"{option}: {_shown(url)} is in use ({found}): stop everything that uses it, web, workers and beat,"
        " or what is written during the copy would be missing in it"
    )


def _tables() -> list[Table]:
    return Base.metadata.sorted_tables


def _file(url: str) -> Path | None:
    """The file of a SQLite database."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.drivername.startswith("sqlite") and parsed.database else None


def _shown(url: str) -> str:
    """As it was typed, without the driver that we have added, and without a password."""
    parsed = make_url(url)
    return parsed.set(drivername=parsed.get_backend_name()).render_as_string(hide_password=True)
