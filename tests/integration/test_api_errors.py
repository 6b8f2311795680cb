"""Errors in one shape, each with the id of its request; and limits on sizes."""

import json
import logging

import pytest
from sqlalchemy import text

from app.web.job_lookup import find_job
from models import session
from tests.support.front_door import JOBS, Door

pytestmark = pytest.mark.one_database

SECRET = "the prompt nobody may read"


@pytest.fixture
def door(environment):
    return Door()


def _is_ours(response, kind):
    error = response.get_json()["error"]
    assert set(error) == {"type", "message", "details", "request_id"}
    assert error["type"] == kind
    assert error["message"]
    assert error["request_id"] == response.headers["X-Request-Id"]
    return error


def test_every_error_has_one_shape(door):
    for method, path, status, kind in [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/v1/nowhere", 404, "not_found"),
        ("PUT", "/api/v1/jobs", 405, "method_not_allowed"),
        ("GET", "/api/v1/jobs/x", 404, "not_found"),
        ("GET", "/api/v1/jobs?limit=x", 422, "invalid_request"),
        ("GET", "/docs/nothing.js", 404, "not_found"),
    ]:
        response = door.call(method, path)

        assert response.status_code == status, path
        _is_ours(response, kind)
        assert (status == 405) == ("Allow" in response.headers)


def test_a_request_id_that_can_be_one_is_kept(door):
    assert door.get("/health", headers={"X-Request-Id": "abc-1.2:3"}).headers["X-Request-Id"] == "abc-1.2:3"
    for bad in ("", "with space", "x" * 129, "<b>"):
        found = door.get("/health", headers={"X-Request-Id": bad}).headers["X-Request-Id"]
        assert found != bad
        assert found.startswith("req_")
        assert len(found) == 36


def test_an_unexpected_error_tells_the_caller_nothing_and_the_log_no_content(door, capfd):
    # Given a database that lost a table
    with session.engine().begin() as connection:
        connection.execute(text("ALTER TABLE job_spec RENAME TO elsewhere"))

    # When a job is submitted
    response = door.post_records([{"prompt": SECRET}], headers={"X-Request-Id": "find-me"})

    # Then the caller learns the request id, under which the log has the reason but not the prompt
    assert response.status_code in (500, 503)
    error = response.get_json()["error"]
    assert "job_spec" not in error["message"]
    written = capfd.readouterr().err
    assert "find-me" in written
    assert "job_spec" in written
    assert SECRET not in written
    assert door.key[-64:] not in written


def test_an_error_of_our_own_is_a_500_with_its_request_id(door, capfd):
    def fail() -> None:
        raise RuntimeError("a fault of ours")

    fail.needed_scope = "public"
    door.app.view_functions["probes.get_health"] = fail

    response = door.get("/api/v1/health")

    error = _is_ours(response, "internal_error")
    assert response.status_code == 500
    assert error["request_id"] in error["message"]
    assert "a fault of ours" not in response.text
    assert "a fault of ours" in capfd.readouterr().err


def test_json_over_its_limit_names_the_way_for_more(environment, monkeypatch):
    monkeypatch.setenv("MAX_JSON_BYTES", "2000")
    door = _fresh_door()

    response = door.post_records([{"prompt": "x" * 2_000}])

    error = _is_ours(response, "too_large")
    assert response.status_code == 413
    assert "JSONL" in error["message"]


def test_an_upload_over_its_limit_is_a_413(environment, monkeypatch):
    monkeypatch.setenv("MAX_UPLOAD_BYTES", "2000")
    door = _fresh_door()

    response = door.upload("r.csv", b"prompt\n" + b"x" * 2_000)

    assert response.status_code == 413
    _is_ours(response, "too_large")


def test_a_field_over_its_limit_is_a_413(environment, monkeypatch):
    monkeypatch.setenv("MAX_JSON_BYTES", "2000")
    door = _fresh_door()

    response = door.upload("r.csv", b"prompt\nx\n", template="x" * 3_000)

    assert response.status_code == 413


def test_a_job_over_its_number_of_records_is_a_413(environment, monkeypatch):
    monkeypatch.setenv("MAX_RECORDS", "3")
    door = _fresh_door()

    assert door.post_records(3).status_code == 202
    assert door.post_records(4).status_code == 413


def test_any_other_body_is_kept_small(door):
    job = door.submit(1)

    response = door.call("PATCH", f"{JOBS}/{job['id']}", json={"name": "x" * 2_000_000})

    assert response.status_code == 413
    _is_ours(response, "too_large")


def test_a_log_line_names_request_tenant_and_job(environment, monkeypatch, capfd):
    # Given logs for machines
    monkeypatch.setenv("LOG_FORMAT", "json")
    door = _fresh_door()
    job = door.submit(1)

    def look(job_id: str) -> str:
        find_job(job_id)
        logging.getLogger("somewhere").warning("looked with %s", door.key)
        return "ok"

    look.needed_scope = "jobs:read"
    door.app.view_functions["jobs.get_job"] = look

    # When something is logged within a request
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    told = {"X-Request-Id": "r-1", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    door.get(f"{JOBS}/{job['id']}", headers=told)

    # Then its line says for whom, and the key is masked
    [line] = [line for line in capfd.readouterr().err.splitlines() if "looked with" in line]
    event = json.loads(line)
    assert (event["request_id"], event["trace_id"]) == ("r-1", trace)
    assert event["tenant"] == "acme"
    assert event["user"] == "ada"
    assert event["job"] == job["id"]
    assert event["event"] == f"looked with {door.prefix}_***"


def _fresh_door():
    """A door that reads its environment anew."""
    from config import settings

    settings.current.cache_clear()
    return Door()
