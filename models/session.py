"""How everything reaches the database: one engine a process, transactions that run again when they may."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from config import settings

ATTEMPTS = 8  # of one transaction; the waits between them add up to 4.5 seconds at most
# serialization_failure, deadlock_detected, lock_not_available, admin_shutdown, crash_shutdown,
# cannot_connect_now, idle_in_transaction_session_timeout
_TRANSIENT = {"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "25P03"}
IDLE = 15  # seconds between two statements of a transaction; on a starved machine they are seconds apart

# SQLite has one writer. Waiting for it here, first come first served, keeps the longest wait of 32 threads
# under a tenth of what its busy handler's polling gives.
_sqlite_writer = threading.Lock()
_making_engine = threading.Lock()

# An UPDATE or DELETE of many rows leaves loaded objects as they are: who reads on refreshes what it moved.
_UNSYNCHRONIZED = {"synchronize_session": False}

_lost_commits = 0
_counting = threading.Lock()  # guards it

T = TypeVar("T")


def engine() -> Engine:
    """The engine of this process."""
    with _making_engine:  # a cache alone lets two threads make one each, and loses one with its connections
        return _engine()


@cache
def _engine() -> Engine:
    return make_engine(settings.current().database_url)


def close_engine() -> None:
    """Close every connection of this process: it is about to be copied, and none may be used by two."""
    engine().dispose()
    _engine.cache_clear()


def make_engine(url: str) -> Engine:
    """An engine set up as Penstock needs it: SQLite for many writers, PostgreSQL for many threads.

    Statements are logged without their values (`hide_parameters`): those are prompts and answers.
    """
    if not url.startswith("sqlite"):
        made = create_engine(
            url,
            hide_parameters=True,
            pool_size=16,
            max_overflow=16,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5},  # a host that swallows packets must not hold a probe
        )
        # One statement for hundreds of rows, not one for each: psycopg's dialect does so for RETURNING alone.
        made.dialect.use_insertmanyvalues_wo_returning = True
        event.listen(made, "connect", _prepare_postgresql)
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


def _prepare_postgresql(connection: Any, _: object) -> None:
    # A process that stands still in mid-transaction would hold its rows, and every other process, until it
    # wakes: longer than it takes to find it dead.
    connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE}s'")
    connection.commit()


def _prepare_sqlite(connection: Any, _: object) -> None:
    # The driver's own transactions would run a SELECT outside of them: 771 of 800 updates were lost so.
    connection.isolation_level = None
    for pragma in ("journal_mode=wal", "synchronous=normal", "foreign_keys=on"):
        connection.execute(f"pragma {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later cannot wait for the writer: take its place at once.
    reads = connection.get_execution_options().get("reads_only")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def in_transaction(work: Callable[[Session], T]) -> T:
    """Run `work` in a transaction, commit, and return what it returned.

    Runs it again, whole, on a deadlock, a serialization failure or a lost connection. A COMMIT whose answer
    was lost may have happened: `work` must stand being run on top of itself (ids chosen before, guarded
    updates, `ON CONFLICT DO NOTHING`). What `after_commit` was given runs once, after the last one.
    """
    try:
        result, callbacks = _run(work)
    except DBAPIError as error:
        result, callbacks = _run_again(work, error)
    for callback in callbacks:
        callback()
    return result


def lost_commits() -> int:
    """How many COMMITs of this process failed: unlike any other statement's, their failure may be none."""
    return _lost_commits


def after_commit(session: Session, callback: Callable[[], None]) -> None:
    """Run `callback` once the session's transaction is committed; messages about rows leave only so."""
    session.info.setdefault("after_commit", []).append(callback)


@contextmanager
def reading() -> Iterator[Session]:
    """A session that only reads: one snapshot in SQLite, and never in a writer's way."""
    connection = engine().connect().execution_options(reads_only=True)
    with connection, Session(connection, expire_on_commit=False, autoflush=False) as session:
        yield session


def _run(work: Callable[[Session], T]) -> tuple[T, list[Callable[[], None]]]:
    with _writing() as session:
        result = work(session)
        _commit(session)
        return result, session.info.get("after_commit", [])


def _run_again(work: Callable[[Session], T], error: DBAPIError) -> tuple[T, list[Callable[[], None]]]:
    """What follows a first run that ended with `error`, which is the first of the attempts.

    `_attempts` begins here because it costs 9 µs: half of what a transaction that succeeds takes of its own.
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


# For all threads: what it knows of a call lies on the thread that makes it.
_attempts = Retrying(
    retry=retry_if_exception(_is_transient),
    wait=wait_random_exponential(multiplier=0.04, max=2.0),  # seconds
    stop=stop_after_attempt(ATTEMPTS),
    reraise=True,
)
