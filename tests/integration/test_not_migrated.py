"""A database without our tables, or with those of an earlier release: every call says so."""

import re

import pytest
from sqlalchemy import text

from app.core.accounts.api_keys import SCOPES
from config import settings
from models import session
from tests.support.contract_document import operations
from tests.support.front_door import JOBS, Door

CALLS = {"Accept": "application/json"}
NO_DATABASE = {"/health", "/api/v1/health"}


def sentence(response) -> str:
    """What an error says, in the shape of any contract."""
    content = response.get_json()
    for name in ("error", "detail", "message"):
        found = content.get(name)
        if isinstance(found, dict):
            return found["message"]
        if isinstance(found, str) and " " in found:
            return found
    return response.text


@pytest.mark.one_database
def test_without_tables_every_call_is_a_503_that_says_what_to_do(environment, monkeypatch, tmp_path):
    # Given a key of a database, and an empty database in its place
    door = Door(scopes=SCOPES)
    document = door.get("/openapi.json").get_json()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'empty.db'}")
    settings.current.cache_clear()
    session.close_engine()

    # Then each operation of each contract says so
    others = []
    for operation in operations(document):
        if operation.path in NO_DATABASE:
            continue
        path = re.sub("{.*?}", "x", operation.path)
        answer = door.call(operation.method, path, headers=CALLS)
        if answer.status_code != 503 or "run `penstock migrate`" not in sentence(answer):
            others.append(f"{operation}: {answer.status_code} {answer.text[:200]}")
    assert others == []
    session.close_engine()


def test_a_table_of_an_earlier_release_is_a_503_that_names_both_revisions(environment, capfd):
    door = Door()
    with session.engine().begin() as connection:
        connection.execute(text("ALTER TABLE job_spec RENAME TO elsewhere"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))

    answer = door.post_records(1)

    error = answer.get_json()["error"]
    assert (answer.status_code, error["type"], answer.headers["Retry-After"]) == (503, "unavailable", "5")
    assert error["message"].startswith("the database is at revision 0001, but ")
    assert error["message"].endswith("is needed: run `penstock migrate`")
    # And the log has one line of it however many calls there are, no traceback
    assert door.post_records(1).status_code == 503
    logged = capfd.readouterr().err
    assert "Traceback" not in logged
    assert logged.count("database.away") == 1
    assert error["message"] in logged


def test_a_statement_that_is_wrong_on_a_database_that_is_right_is_our_own_fault(environment):
    door = Door()
    with session.engine().begin() as connection:
        connection.execute(text("ALTER TABLE job_spec RENAME TO elsewhere"))
    answer = door.post(JOBS, json={"model": "simulated", "records": [{"prompt": "x"}]})
    assert answer.status_code in (500, 503)
    assert "penstock migrate" not in answer.text
