"""`penstock copy`: everything of one database is in the other afterwards, or nothing."""

import tracemalloc

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, func, insert, inspect, make_url, select, text

from app.cli import cli
from app.copying import rows as rows_of_table
from app.copying.copy import opened
from app.errors import Conflict, NotFound, Unavailable
from models import JobSpec, Tenant, migrate, session
from models.base import new_uid
from models.session import make_engine
from tests.conftest import new_database, penstock_of_its_own
from tests.faults.support.breakable_stack import Site
from tests.support import every_table
from tests.support.stack import forget_process_state

LAST = 2  # the number of the last row of `every_table`


@pytest.fixture
def database(request, tmp_path, sqlite_template):
    """Makes an empty database of a kind and returns its address."""
    made = []

    def make(kind: str) -> str:
        folder = tmp_path / f"{kind}{len(made)}"
        folder.mkdir()
        made.append(new_database(kind, request, folder))
        return made[-1].__enter__()

    yield make
    for each in made:
        each.__exit__(None, None, None)


def copy(source: str, target: str) -> str:
    """What the command says."""
    result = CliRunner().invoke(cli, ["copy", "--from", source, "--to", target])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def rows(url: str):
    engine = make_engine(url)
    try:
        return every_table.rows(engine)
    finally:
        engine.dispose()


def holds_nothing(url: str) -> bool:
    """But the row that a migration writes."""
    return not any(found for table, found in rows(url).items() if table != "sweep")


def filled(url: str) -> str:
    engine = make_engine(url)
    every_table.fill(engine)
    engine.dispose()
    return url


def test_every_row_of_every_table_survives_every_way_that_there_is(database, tmp_path):
    # Given two rows in each table, with all that its columns can hold
    there = filled(database("sqlite"))
    expected = rows(there)
    missing = f"sqlite:///{tmp_path / 'not there' / 'penstock.db'}"
    assert {len(found) for found in expected.values()} == {2}

    # When they are copied from each kind of database to each
    for new in (database("postgresql"), database("postgresql"), database("sqlite"), missing):
        here, there = there, new
        said = copy(here, there)

        # Then
        assert rows(there) == expected
        assert "copied and compared: " in said

        # And new rows are numbered behind them
        engine = make_engine(there)
        with engine.connect() as connection:
            made = connection.execute(insert(Tenant).values(uid=new_uid(), name="new").returning(Tenant.id))
            assert made.scalar_one() == LAST + 1
            connection.rollback()
        engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_that_somebody_uses_is_not_copied(database, kind):
    # Given
    source, target = filled(database(kind)), database("postgresql")
    user = make_engine(source)
    with user.connect() as connection:
        connection.execute(select(func.count()).select_from(Tenant))

        # When
        with pytest.raises(Conflict, match="stop everything that uses it") as refused:
            copy(source, target)

    # Then it says so, and nothing was copied
    assert "--from" in str(refused.value)
    assert kind == "sqlite" or "connected: postgres (1)" in str(refused.value)
    user.dispose()
    assert holds_nothing(target)
    assert "copied" in copy(source, target)


def test_the_database_of_another_program_is_left_alone(database):
    source, target = filled(database("sqlite")), database("postgresql")
    engine = create_engine(target)
    for table in ("invoice", "alembic_version"):  # it may use Alembic as well
        # Given its address in place of a new one's
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
            connection.execute(text(f"CREATE TABLE {table} AS SELECT 'ae1027a6acf' AS version_num"))
        engine.dispose()

        # Then nothing of ours gets in
        with pytest.raises(Conflict, match="holds the tables of another program"):
            copy(source, target)
        with engine.connect() as connection:
            assert inspect(connection).get_table_names() == [table]
    with pytest.raises(Conflict, match="at revision ae1027a6acf, which no release of Penstock has made"):
        migrate.upgrade(target)
    engine.dispose()


def test_nothing_is_copied_over_what_is_there(database):
    source, target = filled(database("sqlite")), filled(database("postgresql"))
    kept = rows(target)
    with pytest.raises(Conflict, match="is not empty, its table"):
        copy(source, target)
    assert rows(target) == kept


def test_a_value_that_the_new_database_refuses_leaves_it_empty(database):
    # Given a text that SQLite keeps and PostgreSQL does not, and a row that refers to none
    source, target = filled(database("sqlite")), database("postgresql")
    engine = create_engine(source)
    for change, refusal in (
        ("UPDATE job SET tenant_id = 99", r"job .*\(99\) is not present"),
        ("UPDATE webhook_delivery SET last_answer = 'a' || char(0)", "webhook_delivery .*column last_answer"),
    ):
        with engine.begin() as connection:
            connection.execute(text(change))
        engine.dispose()

        # When
        with pytest.raises(Conflict, match=f"refuses a value of the table {refusal}"):
            copy(source, target)

        # Then
        assert holds_nothing(target)


def test_what_is_long_is_not_held_by_the_thousand(database):
    # Given 40 MB of what 200 jobs say to the model
    engines = [create_engine(database("sqlite")) for _ in range(2)]
    with engines[0].begin() as connection:
        numbers = [{"job_id": number, "max_tokens": 1, "system": "x" * 200_000} for number in range(200)]
        connection.execute(insert(JobSpec), numbers)
    del numbers

    # When they are copied
    with engines[0].connect() as source, engines[1].connect() as target:
        tracemalloc.start()
        rows_of_table.move(source, target, JobSpec.__table__, lambda _: None)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert target.scalar(select(func.count()).select_from(JobSpec)) == 200

    # Then a part was in memory at a time
    assert most < 30_000_000
    for engine in engines:
        engine.dispose()


def test_a_copy_that_is_cut_short_leaves_nothing_says_so_once_and_can_be_repeated(database, caplog):
    source, target = filled(database("sqlite")), database("postgresql")
    server = make_engine(target)

    def end_its_connection(*_: object) -> None:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        with server.connect() as connection:
            connection.execute(text(f"{others} AND pid <> pg_backend_pid()"))

    def press_ctrl_c(*_: object) -> None:
        raise KeyboardInterrupt

    for happens, told in ((end_its_connection, Unavailable), (press_ctrl_c, KeyboardInterrupt)):
        with pytest.raises(told), opened(source, target) as begun:
            begun.run(happens)
        server.dispose()
        assert holds_nothing(target)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    assert "copied" in copy(source, target)


def test_the_old_database_must_exist_and_be_migrated_and_the_new_one_must_be_ours(database, tmp_path):
    target = database("postgresql")
    elsewhere = make_url(target).set(database="nowhere", drivername="postgresql", password="secret")
    with pytest.raises(
        Unavailable, match=r"--to: postgresql://\S+/nowhere\S* cannot be used .*createdb"
    ) as refused:
        copy(filled(database("sqlite")), elsewhere.render_as_string(hide_password=False))
    assert "secret" not in str(refused.value)
    with pytest.raises(NotFound, match="there is no database"):
        copy(f"sqlite:///{tmp_path / 'nothing.db'}", target)
    old = database("sqlite")
    engine = create_engine(old)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    with pytest.raises(Conflict, match=f"0001, but {migrate.newest()} is needed: run"):
        copy(old, target)


def test_a_job_goes_on_by_itself_on_the_new_database(request, upstream, tmp_path, database, monkeypatch):
    # Given a stack on SQLite, stopped in the middle of a job
    with penstock_of_its_own("sqlite", request, tmp_path, **Site.asking(upstream)) as values:
        site = Site(values, tmp_path, upstream)
        job = site.begin(200, 60)
        site.stop()
        begun = job.ended()
        assert 60 <= begun < 200
        session.close_engine()

        # When its database is copied, and a stack is started on the copy
        new = database("postgresql")
        copy(values["DATABASE_URL"], new)
        monkeypatch.setenv("DATABASE_URL", new)
        forget_process_state()
        moved = Site(values | {"DATABASE_URL": new}, tmp_path, upstream).start(slice_workers=1)

        # Then the job ends, each record was asked once, and the books agree
        try:
            assert job.ended() == begun
            books = moved.finish(job)
            assert (books.asked_twice, books.unconfirmed) == (0, 0)
        finally:
            moved.stop()
            session.close_engine()
