"""PostgreSQL is restarted, stands still, cuts its connections, or refuses a transaction."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from config import settings
from tests.faults.support.breakable_stack import first_ends, pass_by, stopped
from tests.faults.support.rounds import LONG
from tests.support.servers import wait_until

pytestmark = [pytest.mark.timeout(3600), pytest.mark.parametrize("site", ["postgresql"], indirect=True)]

AWAY = 60 if LONG else 8  # seconds
PATIENCE = 2  # seconds that paid answers may wait before no more calls leave

OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"


@pytest.fixture
def admin(site) -> Iterator[Engine]:
    """Another client of the same database."""
    engine = create_engine(settings.current().database_url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def test_a_restart_costs_no_record_and_no_call(fresh, postgres_server, records, moments, figures):
    for moment in moments:
        job = fresh.begin(records, moment)
        postgres_server.restart()
        back = time.monotonic()
        seconds = first_ends(job, since=back)
        books = fresh.finish(job)
        figures.note("PostgreSQL restarted", books, seconds)
        assert (books.asked_twice, books.unconfirmed) == (0, 0)


def test_while_it_stands_still_calls_stop_and_nobody_is_taken_for_dead(
    fresh, postgres_server, records, moments, figures
):
    # Given
    job = fresh.begin(records, next(moments))

    # When it stands still for longer than a process would need to be found dead
    began = time.monotonic()
    with stopped(*postgres_server.pids()):
        pass_by(AWAY)
        arrived = [seen["at"] for seen in fresh.upstream.books()]
    awake = time.monotonic()

    # Then what was in flight was the last to be asked, and everything goes on with it
    assert max(arrived, default=began) < began + PATIENCE + 2
    seconds = first_ends(job, since=awake)
    books = fresh.finish(job)
    figures.note(f"PostgreSQL frozen for {AWAY} s", books, seconds)
    assert (books.asked_twice, books.unconfirmed) == (0, 0)


def test_cut_connections_cost_nothing(fresh, admin, records, moments, figures):
    # Given
    job = fresh.begin(records, next(moments))

    # When every connection is cut, again and again
    with admin.connect() as connection:
        for _ in range(5):
            ended = job.ended()
            connection.execute(text(f"SELECT pg_terminate_backend(pid) {OTHERS}"))
            if ended < records:
                job.wait_until_ended(min(ended + records // 10, records))

    # Then
    books = fresh.finish(job)
    figures.note("every connection to PostgreSQL cut, five times", books)
    assert (books.asked_twice, books.unconfirmed) == (0, 0)


def test_a_deadlock_is_run_again(fresh, admin, records, moments, figures):
    # Given
    job = fresh.begin(records, next(moments))
    before = deadlocks(admin)

    # When somebody takes the locks of a group of answers in the opposite order
    with holding_counts(admin, job.id) as connection:
        wait_until(lambda: blocked_by(admin, connection), what="a writer waits for the counts")
        connection.execute(
            text("SELECT idx FROM record WHERE job_id = :job AND attempts > 0 FOR UPDATE"), {"job": job.id}
        )
    wait_until(lambda: deadlocks(admin) > before, what="the server has counted the deadlock")

    # Then
    books = fresh.finish(job)
    figures.note("a deadlock", books)
    assert (books.asked_twice, books.unconfirmed) == (0, 0)


def test_serialization_failures_are_run_again(fresh, admin, postgres_server, records, moments, figures):
    # When the workers' transactions are serializable, so that the server refuses those that collide
    with serializable(admin):
        job = fresh.begin(records, next(moments))
        books = fresh.finish(job)

    # Then
    assert "could not serialize access" in postgres_server.log()
    figures.note("serialization failures throughout", books)
    assert (books.asked_twice, books.unconfirmed) == (0, 0)


@contextmanager
def serializable(admin: Engine) -> Iterator[None]:
    """Every transaction of the database, but for those of this process, which reads along."""
    name = settings.current().database_url.partition("?")[0].rpartition("/")[2]
    with pytest.MonkeyPatch.context() as patch, admin.connect() as connection:
        patch.setenv("PGOPTIONS", r"-c default_transaction_isolation=read\ committed")
        try:
            connection.execute(
                text(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
            )
            connection.execute(text(f"SELECT pg_terminate_backend(pid) {OTHERS}"))
            yield
        finally:
            connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_isolation"))
            connection.execute(text(f"SELECT pg_terminate_backend(pid) {OTHERS}"))


@contextmanager
def holding_counts(admin: Engine, job_id: int) -> Iterator[Connection]:
    """A transaction that holds a job's last lock, and is patient where its victims are not."""
    with admin.connect().execution_options(isolation_level="READ COMMITTED") as connection:
        connection.execute(text("SET LOCAL deadlock_timeout = '60s'"))
        connection.execute(text("SELECT 1 FROM job_counts WHERE job_id = :job FOR UPDATE"), {"job": job_id})
        yield connection
        connection.rollback()


def blocked_by(admin: Engine, blocker: Connection) -> bool:
    pid = blocker.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with admin.connect() as connection:
        found = connection.execute(
            text(f"SELECT count(*) {OTHERS} AND :pid = ANY(pg_blocking_pids(pid))"), {"pid": pid}
        )
        return bool(found.scalar_one())


def deadlocks(admin: Engine) -> int:
    with admin.connect() as connection:
        found = connection.execute(
            text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        )
        return int(found.scalar_one())
