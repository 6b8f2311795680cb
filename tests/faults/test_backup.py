"""A backup that was taken in the middle of a job is restored into a new database, beside an empty Redis."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, make_url, select

from app.core.money import reconciliation
from app.core.reading.records import snapshot
from models import Attempt, RecordOutput, session
from models.session import reading
from tests.conftest import ONE_IN_SHORT, new_database, penstock_of_its_own
from tests.faults.support.breakable_stack import Site
from tests.support.servers import flush
from tests.support.stack import forget_process_state

pytestmark = pytest.mark.timeout(600)

RECORDS, AT_ONCE = 200, 40  # calls in flight
Restore = Callable[[str], None]  # into the database at this address


@pytest.mark.parametrize("kind", ONE_IN_SHORT)
def test_a_job_goes_on_by_itself_from_a_backup_and_what_came_after_it_is_asked_again(
    kind, request, upstream, tmp_path, monkeypatch
):
    asking = Site.asking(upstream) | {"BATCH_MAX_CONCURRENT_LLM_CALLS": str(AT_ONCE)}
    with penstock_of_its_own(kind, request, tmp_path, **asking) as values:
        # Given a backup of a job under way, which went on for a while before all was lost
        site = Site(values, tmp_path, upstream)
        job = site.begin(RECORDS, 50)
        restore = backed_up(kind, request, values["DATABASE_URL"], tmp_path)
        job.wait_until_ended(RECORDS - 20)
        site.stop()
        arrived = site.arrived()
        session.close_engine()
        flush(values["REDIS_URL"])

        # When it is restored into a new database, and a new stack is started
        folder = tmp_path / "new"
        folder.mkdir()
        with new_database(kind, request, folder) as url:
            restore(url)
            monkeypatch.setenv("DATABASE_URL", url)
            forget_process_state()
            kept = answered(job.id)
            assert 50 <= kept < RECORDS
            restored = Site(values | {"DATABASE_URL": url}, folder, upstream).start(slice_workers=1)
            try:
                job.wait_for("completed", seconds=120)
            finally:
                restored.stop()

            # Then every record has one answer, and only what the backup did not know was asked again
            assert job.statuses() == {"succeeded": RECORDS}
            assert answered(job.id) == RECORDS
            assert restored.arrived() - arrived == RECORDS - kept

            # And the books agree: what was in flight then stands as unconfirmed
            with snapshot() as opened:
                assert list(reconciliation.Check(opened).differences()) == []
            with reading() as opened:
                outcomes = dict(
                    opened.execute(select(Attempt.outcome, func.count()).group_by(Attempt.outcome)).all()
                )
            assert outcomes["answered"] == RECORDS
            assert 0 < outcomes["unconfirmed"] <= 2 * AT_ONCE  # and those that were being written
            session.close_engine()


def answered(job_id: int) -> int:
    with reading() as opened:
        count = select(func.count()).select_from(RecordOutput).where(RecordOutput.job_id == job_id)
        return opened.scalar(count) or 0


def backed_up(kind: str, request: pytest.FixtureRequest, url: str, folder: Path) -> Restore:
    """A backup, as docs/operations.md takes it, while everything runs."""
    if kind == "sqlite":
        backup = folder / "backup.db"
        with sqlite3.connect(make_url(url).database or "") as connection:
            connection.execute("VACUUM INTO ?", [str(backup)])
        connection.close()
        return lambda there: shutil.copy(backup, make_url(there).database or "")
    server, dump = request.getfixturevalue("postgres_server"), folder / "penstock.dump"
    server.run("pg_dump", "--format=custom", f"--file={dump}", plain(url))
    # `new_database` has tables already
    return lambda there: server.run(
        "pg_restore", "--clean", "--if-exists", f"--dbname={plain(there)}", str(dump)
    )


def plain(url: str) -> str:
    """An address as PostgreSQL's own programs take it."""
    return url.replace("+psycopg", "")
