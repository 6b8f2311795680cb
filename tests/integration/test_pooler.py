"""PostgreSQL behind a pooler in transaction mode, where no session lasts longer than a transaction."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.doctor.examination import examine
from app.doctor.finding import State
from app.doctor.parts import parts
from models import migrate, session
from models.session import in_transaction, reading
from tests.conftest import penstock_of_its_own
from tests.faults.support.pgbouncer import pgbouncer
from tests.support.pooler import pooler
from tests.support.stack import Stack, forget_process_state
from tests.support.threaded_server import serving


@pytest.fixture
def variables(request, tmp_path) -> Iterator[dict[str, str]]:
    with penstock_of_its_own("postgresql", request, tmp_path) as values:
        yield values


@pytest.fixture(params=["of our own", pytest.param("PgBouncer", marks=pytest.mark.long)])
def kept(request, variables, monkeypatch) -> Iterator[list[bytes]]:
    """Every process has its database through a pooler; yields what was left in a session for later."""
    behind = make_url(variables["DATABASE_URL"])

    def through(port: int) -> None:
        address = f"postgresql://{behind.username}@127.0.0.1:{port}/{behind.database}"
        variables["DATABASE_URL"] = address
        monkeypatch.setenv("DATABASE_URL", address)
        forget_process_state()

    if request.param == "PgBouncer":
        with pgbouncer(behind) as port:
            through(port)
            yield []
            session.engine().dispose()
    else:
        with pooler(behind) as between:
            through(between.port)
            yield between.kept
            session.engine().dispose()
            assert between.transactions


def test_a_job_its_pages_and_the_doctor_leave_nothing_in_a_session(kept, variables, tmp_path: Path):
    # Given workers and a web process behind the pooler
    stack = Stack(variables, tmp_path).start()
    with serving() as served:
        try:
            # When a job runs, is watched, read and exported
            job = served.door.submit(60)
            with served.watch(job, timeout=30) as stream:
                told = list(stream)
            read = served.door.get(f"{job['links']['self']}/records?limit=100").get_json()["data"]
            csv = served.door.get(f"{job['links']['self']}/results?format=csv").text
        finally:
            stack.stop()

    # Then all is as without
    assert told[-1].data["counts"]["succeeded"] == 60
    assert len(read) == 60
    assert len(csv.splitlines()) == 61
    # And it is known, and nothing relies on a session
    [finding] = [each for each in examine(parts(call=False)) if each.subject == "pooler"]
    assert (finding.state, "each transaction" in finding.text) == (State.OK, True)
    assert kept == []


def test_a_database_is_migrated_through_the_pooler(kept):
    for statement in ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"):
        in_transaction(lambda writer, do=statement: writer.connection().exec_driver_sql(do) and None)
    url = session.engine().url.render_as_string(hide_password=False)

    assert migrate.upgrade(url) == (None, migrate.newest())
    assert kept == []


def test_each_transaction_has_its_bound_for_idleness(kept):
    asked = "SELECT current_setting('idle_in_transaction_session_timeout')"
    for _ in range(3):
        with reading() as reader:
            assert reader.connection().exec_driver_sql(asked).scalar() == "15s"
        assert in_transaction(lambda writer: writer.connection().exec_driver_sql(asked).scalar()) == "15s"
