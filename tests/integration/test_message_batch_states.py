"""Message Batches at the front door alone: the test itself says how their requests end."""

import json
from typing import Any

import pytest
from sqlalchemy import select, update

from app.core.pipeline import lifecycle
from app.core.reading.job_json import PREFIX
from app.dialects.anthropic import intake, requests
from app.dialects.anthropic.wire import NEVER
from app.providers import registry
from config import settings
from models import Job
from models.base import now
from models.session import in_transaction, reading
from models.tenant import Tenant
from tests.support.contracts import MESSAGE_BATCHES
from tests.support.front_door import Door, Worker, number_of

pytestmark = pytest.mark.one_database


@pytest.fixture
def door(environment) -> Door:
    return Door()


def create(door: Door, count: int = 4, model: str = "simulated", **request: Any) -> Any:
    params = {"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": "Why?"}]}
    requests = [{"custom_id": f"own-{number}", "params": params} for number in range(count)]
    return door.post(MESSAGE_BATCHES, json={"requests": requests}, **request)


def made(door: Door, **request: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A batch, and the same as the native contract has it."""
    batch = create(door, **request).get_json()
    return batch, door.get(f"{PREFIX}/jobs/{batch['id']}").get_json()


def results(door: Door, batch: Any) -> dict[str, Any]:
    answer = door.get(f"{MESSAGE_BATCHES}/{batch['id']}/results")
    assert answer.status_code == 200, answer.text
    return {line["custom_id"]: line["result"] for line in map(json.loads, answer.text.splitlines())}


def test_a_batch_that_passes_its_day_expires_and_keeps_what_was_answered(door):
    # Given
    batch, job = made(door)
    Worker().end(job, [0])

    # When
    def expire(session: Any) -> None:
        session.execute(update(Job).values(expires_at=now(-1)))
        lifecycle.expire(session, session.scalars(select(Job)).one())

    in_transaction(expire)

    # Then
    found = door.get(f"{MESSAGE_BATCHES}/{batch['id']}").get_json()
    assert (found["processing_status"], found["cancel_initiated_at"]) == ("ended", None)
    assert found["request_counts"] == {
        "processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 3,
    }  # fmt: skip
    assert [one["type"] for one in results(door, batch).values()] == ["succeeded"] + ["expired"] * 3


def test_the_letter_of_the_contract_is_kept_where_it_is_asked_for(door, monkeypatch):
    batch, job = made(door)
    Worker().end(job, [0])
    live = door.get(f"{MESSAGE_BATCHES}/{batch['id']}").get_json()
    monkeypatch.setenv("BATCHES_STRICT_COUNTS", "true")
    settings.current.cache_clear()

    strict = door.get(f"{MESSAGE_BATCHES}/{batch['id']}").get_json()

    assert (live["request_counts"]["succeeded"], live["request_counts"]["processing"]) == (1, 3)
    assert live["results_url"].endswith(f"{MESSAGE_BATCHES}/{batch['id']}/results")
    assert strict["request_counts"] == {
        "processing": 4, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0,
    }  # fmt: skip
    assert strict["results_url"] is None
    assert strict["processing_status"] == "in_progress"


def test_errors_of_records_have_words_of_anthropic(door):
    batch, job = made(door)
    worker = Worker()
    kinds = {
        "invalid_request": "invalid_request_error",
        "rate_limited": "rate_limit_error",
        "not_found_error": "not_found_error",
        "schema_mismatch": "api_error",
    }
    for index, kind in enumerate(kinds):
        worker.end(job, [index], error=(kind, "so it is"))

    told = [result["error"]["error"] for result in results(door, batch).values()]

    assert [error["type"] for error in told] == list(kinds.values())
    assert {error["message"] for error in told} == {"so it is"}


def test_a_job_without_an_end_of_its_own_has_a_time_that_does_not_come(door):
    job = door.submit(1)

    assert door.get(f"{MESSAGE_BATCHES}/{job['id']}").get_json()["expires_at"] == NEVER


def test_results_whose_content_was_deleted_are_archived(door):
    batch, job = made(door, count=1)
    Worker().end(job, [0])
    in_transaction(lambda session: session.execute(update(Job).values(content_removed_at=now())) and None)

    found = door.get(f"{MESSAGE_BATCHES}/{batch['id']}").get_json()
    answer = door.get(f"{MESSAGE_BATCHES}/{batch['id']}/results")

    assert (found["results_url"], found["archived_at"] is not None) == (None, True)
    assert (answer.status_code, answer.get_json()["error"]["type"]) == (404, "not_found_error")


def test_a_full_quota_is_not_worth_another_try(door):
    in_transaction(lambda session: session.execute(update(Tenant).values(records_per_hour=3)) and None)

    answer = create(door)

    assert (answer.status_code, answer.get_json()["error"]["type"]) == (429, "rate_limit_error")
    assert answer.headers["x-should-retry"] == "false"
    assert int(answer.headers["Retry-After"]) > 0


def test_a_batch_for_a_provider_without_a_key_is_refused_and_says_what_is_missing(door):
    answer = create(door, model="claude-haiku-4-5")

    assert (answer.status_code, answer.get_json()["error"]["type"]) == (400, "invalid_request_error")
    assert "ANTHROPIC_API_KEY" in answer.get_json()["error"]["message"]


def test_a_batch_over_the_limits_of_the_contract_is_a_413(door, monkeypatch):
    monkeypatch.setattr(requests, "MOST", 3)
    assert create(door, count=3).status_code == 200
    many = create(door, count=4)
    monkeypatch.setattr(intake, "MOST_BYTES", 300)
    long = create(door, count=3)

    for answer, what in ((many, "3 requests"), (long, "300 bytes")):
        assert (answer.status_code, answer.get_json()["error"]["type"]) == (413, "request_too_large")
        assert what in answer.get_json()["error"]["message"]


def test_a_batch_that_asks_nothing_needs_no_key(door):
    params = {"model": "claude-haiku-4-5", "max_tokens": 0, "messages": []}
    answer = door.post(MESSAGE_BATCHES, json={"requests": [{"custom_id": "a", "params": params}]})

    assert answer.status_code == 200, answer.text
    with reading() as session:
        job = session.get_one(Job, number_of(door.get(f"{PREFIX}/jobs/{answer.get_json()['id']}").get_json()))
    assert job.limit_group == registry.NOBODY  # which nothing holds


def test_the_address_of_results_is_that_of_the_caller_behind_a_proxy_that_is_trusted(door, monkeypatch):
    batch, job = made(door)
    Worker().end(job, [0])
    said = {"X-Forwarded-Host": "batches.example", "X-Forwarded-Prefix": "/claude"}

    def address(headers: dict[str, str]) -> str:
        answer = door.get(f"{MESSAGE_BATCHES}/{batch['id']}", headers=headers)
        return answer.get_json()["results_url"].removesuffix(f"{MESSAGE_BATCHES}/{batch['id']}/results")

    assert address(said) == "http://localhost"
    monkeypatch.setenv("TRUSTED_PROXIES", "127.0.0.1")
    settings.current.cache_clear()
    assert address(said) == "http://batches.example/claude"
    assert address({"X-Forwarded-Host": "a/b@c", "X-Forwarded-Prefix": "//x"}) == "http://localhost"


def test_another_tenants_batch_is_not_there(door):
    batch, _ = made(door)
    other = door.other()

    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/results")):
        assert other.call(method, f"{MESSAGE_BATCHES}/{batch['id']}{path}").status_code == 404
    assert other.get(MESSAGE_BATCHES).get_json() == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }
    assert other.get(f"{MESSAGE_BATCHES}?before_id={batch['id']}").get_json()["data"] == []
