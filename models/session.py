"""Access to the database: one engine per process, and transactions that are retried where that is safe."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from config import settings
from config.once import once

ATTEMPTS = 8  # of one transaction; the waits between them add up to 4.5 seconds at most
# serialization_failure, deadlock_detected, lock_not_available, admin_shutdown, crash_shutdown,
# cannot_connect_now, idle_in_transaction_session_timeout
_TRANSIENT = {"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "25P03"}
IDLE = 15  # seconds between two statements of a transaction at most; on a starved machine they take seconds

# SQLite has one writer. Waiting for it here, first come first served, keeps the longest wait of 32 threads
# under a tenth of what its busy handler's polling gives.
_sqlite_writer = threading.Lock()

# An UPDATE or DELETE of many rows leaves loaded objects as they are: refresh them before reading on.
_UNSYNCHRONIZED = {"synchronize_session": False}

_lost_commits = 0
_counting = threading.Lock()  # guards it

T = TypeVar("T")


@once
def engine() -> Engine:
    """The engine of this process."""
    return make_engine(settings.current().database_url)


def close_engine() -> None:
    """Close every connection of this process before it forks, as two processes must not share one."""
    engine().dispose()
    engine.cache_clear()


def make_engine(url: str) -> Engine:
    """An engine set up for Penstock: SQLite for many writers, PostgreSQL for many threads.

    Statements are logged without their values (`hide_parameters`), which are prompts and answers.
    """
    if not url.startswith("sqlite"):
        made = create_engine(
            url,
            hide_parameters=True,
            pool_size=16,
            max_overflow=16,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": 5,  # a host that drops packets must not block a probe
                "prepare_threshold": None,  # behind a pooler the next transaction has another server process
                # A connection that only one side knows of is noticed within a minute.
                "keepalives_idle": 20,
                "keepalives_interval": 10,
                "keepalives_count": 3,
                "tcp_user_timeout": 30_000,  # ms; keepalives say nothing while a statement is on its way
            },
        )
        # One statement for hundreds of rows: by default psycopg's dialect does that only with RETURNING.
        made.dialect.use_insertmanyvalues_wo_returning = True
        event.listen(made, "connect", _prepare_postgresql)
        event.listen(made, "begin", _begin_pooled)
        return made
    made = create_engine(
        url,
        hide_parameters=True,
        pool_size=16,
        max_overflow=0,
        pool_timeout=120,
        connect_args={"timeout": 60},
    )
    event.listen(made, "connect", _prepare_sqlite)
    event.listen(made, "begin", _begin_sqlite)
    return made


# A process that freezes in mid-transaction would block its rows, and with them every other process, until it
# wakes: longer than it takes to be found dead.
_LIMIT_IDLENESS = f"idle_in_transaction_session_timeout = '{IDLE}s'"


def _prepare_postgresql(connection: Any, record: Any) -> None:
    """Set the session up; a pooler, which invents a number for the server's process, has no sessions."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    record.info["pooled"] = row[0] != connection.info.backend_pid
    if not record.info["pooled"]:
        connection.execute(f"SET {_LIMIT_IDLENESS}")
    connection.commit()


def is_pooled(connection: Connection) -> bool:
    """Whether a pooler in transaction mode is between this process and PostgreSQL."""
    return bool(connection.info.get("pooled"))


def _begin_pooled(connection: Connection) -> None:
    if is_pooled(connection):
        connection.exec_driver_sql(f"SET LOCAL {_LIMIT_IDLENESS}")


def _prepare_sqlite(connection: Any, _: object) -> None:
    # The driver's own transactions leave a SELECT outside of them: 771 of 800 updates were lost that way.
    connection.isolation_level = None
    for pragma in ("journal_mode=wal", "synchronous=normal", "foreign_keys=on"):
        connection.execute(f"pragma {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later cannot wait for the writer: become the writer at once.
    reads = connection.get_execution_options().get("reads_only")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def in_transaction(work: Callable[[Session], T]) -> T:
    """Run `work` in a transaction, commit, and return what it returned.

    Runs all of it again on a deadlock, a serialization failure or a lost connection. A COMMIT whose answer
    was lost may have happened: `work` must be idempotent (ids chosen before, guarded updates, `ON CONFLICT DO
    NOTHING`). Callbacks given to `after_commit` run once, after the final commit.
    """
    try:
        result, callbacks = _run(work)
    except DBAPIError as error:
        result, callbacks = _run_again(work, error)
    for callback in callbacks:
        callback()
    return result


def lost_commits() -> int:
    """How many COMMITs of this process failed: unlike other statements, they may still have succeeded."""
    return _lost_commits


def after_commit(session: Session, callback: Callable[[], None]) -> None:
    """Run `callback` once the session's transaction is committed; use it for every message about rows."""
    session.info.setdefault("after_commit", []).append(callback)


@contextmanager
def reading() -> Iterator[Session]:
    """A session that only reads: one snapshot in SQLite, and it never blocks a writer."""
    connection = engine().connect().execution_options(reads_only=True)
    with connection, Session(connection, expire_on_commit=False, autoflush=False) as session:
        yield session


def _run(work: Callable[[Session], T]) -> tuple[T, list[Callable[[], None]]]:
    with _writing() as session:
        result = work(session)
        _commit(session)
        return result, session.info.get("after_commit", [])


def _run_again(work: Callable[[Session], T], error: DBAPIError) -> tuple[T, list[Callable[[], None]]]:
    """Retry after a first run that ended with `error`, which counts as the first attempt.

    `_attempts` begins here because it costs 9 µs: half of the overhead of a transaction that succeeds.
    """
    first = [error]

    def attempt() -> tuple[T, list[Callable[[], None]]]:
        if first:
            raise first.pop()
        return _run(work)

    return _attempts(attempt)


@contextmanager
def _writing() -> Iterator[Session]:
    lock = _sqlite_writer if engine().dialect.name == "sqlite" else nullcontext()
    with lock, Session(engine(), expire_on_commit=False, execution_options=_UNSYNCHRONIZED) as session:
        yield session


def _commit(session: Session) -> None:
    global _lost_commits  # noqa: PLW0603
    try:
        session.commit()
    except DBAPIError:
        with _counting:
            _lost_commits += 1
        raise


def _is_transient(error: BaseException) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlstate", None)
    if code is not None:
        return code in _TRANSIENT or code.startswith("08")  # 08: connection exceptions
    if engine().dialect.name == "sqlite":
        return "locked" in str(error.orig) or "busy" in str(error.orig)
    return isinstance(error, OperationalError | InterfaceError)  # psycopg without a code: no connection


# Shared by all threads: its state of a call is local to the thread that makes it.
_attempts = Retrying(
    retry=retry_if_exception(_is_transient),
    wait=wait_random_exponential(multiplier=0.04, max=2.0),  # seconds
    stop=stop_after_attempt(ATTEMPTS),
    reraise=True,
)
