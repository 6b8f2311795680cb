"""Probes: what a load balancer and an operator are told, and when."""

import socket
from pathlib import Path

import pytest
from sqlalchemy import text

from config import settings
from models import migrate, session
from tests.support.front_door import Door
from tests.support.servers import free_port

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_a_process_that_can_take_jobs_says_so_without_a_key(environment, prefix):
    client = Door().client

    said = client.get(f"{prefix}/health").get_json()
    assert said["status"] == ("ok" if prefix else "healthy")
    assert set(said) == ({"status"} if prefix else {"status", "timestamp", "version"})
    ready = client.get(f"{prefix}/ready")
    assert ready.status_code == 200
    assert ready.get_json() == {"status": "ready", "degraded": []}


def test_without_its_broker_it_takes_jobs_and_says_what_is_away(environment, monkeypatch):
    # Given a Redis that nobody answers at
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    settings.current.cache_clear()
    door = Door()

    # Then it is ready, degraded, and takes a job
    ready = door.client.get("/ready")
    assert (ready.status_code, ready.get_json()["degraded"]) == (200, ["broker", "limiter"])
    assert door.submit(1)["limited_by"] == "redis"


def test_a_database_of_another_revision_is_named_with_what_to_do(environment):
    door = Door()
    with session.engine().begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))

    ready = door.client.get("/ready")

    error = ready.get_json()["error"]
    assert ready.status_code == 503
    assert error["details"] == {"down": ["migrations"]}
    assert "at revision 0000" in error["message"]
    assert "penstock migrate" in error["message"]
    assert door.client.get("/health").status_code == 200


def test_the_release_before_goes_on_with_a_database_that_the_next_one_has_migrated(environment):
    # Given a process that runs while a deploy migrates, or after it was taken back
    door = Door()
    with session.engine().begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    # Then it is ready, works, and has nothing to migrate
    assert door.client.get("/ready").status_code == 200
    assert door.post_records(1).status_code == 202
    assert migrate.upgrade(environment["DATABASE_URL"]) == ("9999", "9999")


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_a_database_that_is_stopped_is_named_and_not_waited_for(environment, monkeypatch):
    # Given a database that takes connections and answers nothing
    client = Door().client
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/x")
        settings.current.cache_clear()
        session.engine().dispose()
        session.engine.cache_clear()

        ready = client.get("/ready")

    error = ready.get_json()["error"]
    assert (ready.status_code, error["details"]) == (503, {"down": ["database"]})
    assert "no answer within 3 s" in error["message"]


def test_storage_that_cannot_be_written_is_named(environment, monkeypatch, tmp_path):
    door = Door()
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path / "gone"))
    settings.current.cache_clear()
    assert not Path(tmp_path / "gone").exists()

    ready = door.client.get("/ready")

    assert ready.status_code == 503
    assert ready.get_json()["error"]["details"] == {"down": ["storage"]}
