"""Jobs over REST: lists, looks, changes, verbs, and who may see what."""

import datetime as dt

import jsonschema_rs
import pytest
from sqlalchemy import update

from app.core.limits.limiter import limiter
from config import settings
from models import Job, JobCounts, session
from models.base import now
from models.session import in_transaction
from tests.support.front_door import JOBS, Door, Worker, number_of
from tests.support.servers import free_port

pytestmark = pytest.mark.one_database


@pytest.fixture
def door(environment):
    return Door()


def test_jobs_are_listed_newest_first_in_pages_without_a_gap(door):
    # Given five jobs
    made = [door.submit(1, name=f"job {number}")["id"] for number in range(5)]

    # When they are read two at a time
    pages, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = door.get(JOBS, query_string=query).get_json()
        pages.append([job["id"] for job in page["data"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break

    # Then each is there once, the newest first
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [job for page in pages for job in page] == made[::-1]


def test_a_page_of_jobs_costs_as_many_statements_as_one_job(door, statements):
    door.submit(1)
    with statements() as one:
        door.get(JOBS)
    for _ in range(4):
        door.submit(1)

    with statements() as five:
        assert len(door.get(JOBS).get_json()["data"]) == 5

    assert len(five) == len(one)


def test_a_page_of_jobs_asks_redis_once_what_holds_them_back(door):
    # Given jobs of which some wait for their limits, and one is paused
    waiting, free, paused = [door.submit(1) for _ in range(3)], door.submit(1), door.submit(1)
    for job in waiting:
        limiter().reasons.report(number_of(job), "requests")
    door.post(f"{JOBS}/{paused['id']}/pause")
    redis = limiter()._redis
    redis.config_resetstat()

    # When they are listed
    found = {job["id"]: job["limited_by"] for job in door.get(JOBS).get_json()["data"]}

    # Then each says its own, and one command brought them all
    assert found == {job["id"]: "requests" for job in waiting} | {free["id"]: None, paused["id"]: "paused"}
    commands = redis.info("commandstats")
    assert commands["cmdstat_mget"]["calls"] == 1
    assert "cmdstat_get" not in commands


def test_counts_tokens_and_cost_move_with_every_answer(door):
    # Given a job of six, one of them in flight
    job, worker = door.submit(6), Worker()
    worker.claim(job, [5])

    # When three are answered and one fails
    worker.end(job, [0, 1, 2])
    worker.end(job, [3], error=("invalid_request", "too long"))

    # Then the job says so
    now = door.job(job)
    assert now["counts"] == {
        "pending": 1,
        "running": 1,
        "succeeded": 3,
        "failed": 1,
        "cancelled": 0,
        "expired": 0,
    }
    assert now["progress"] == 0.6666
    assert now["usage"]["input_tokens"] == 40
    assert now["usage"]["output_tokens"] == 20
    assert now["cost"] == "0.00"
    assert now["updated_at"] > job["updated_at"]


def test_a_model_without_a_price_has_no_cost_rather_than_none(door):
    job, worker = door.submit(2), Worker()

    worker.end(job, [0], model="claude-of-tomorrow")

    assert door.job(job)["cost"] is None
    assert door.job(job)["cost_unconfirmed"] == "0.00"


def test_a_job_whose_model_has_no_price_says_so_before_it_costs_anything(door, monkeypatch):
    # Given a model that is not in the list
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    settings.current.cache_clear()
    job = door.submit(1, model="claude-of-tomorrow")

    # Then the job has no cost, and says what would give it one
    assert job["cost"] is None
    (warning,) = job["warnings"]
    for part in ("claude-of-tomorrow", "config/prices.toml", "BATCH_COST_PER_1K_OUTPUT_TOKENS"):
        assert part in warning

    # And when that is done, it has one
    monkeypatch.setenv("BATCH_COST_PER_1K_INPUT_TOKENS", "0.003")
    monkeypatch.setenv("BATCH_COST_PER_1K_OUTPUT_TOKENS", "0.015")
    settings.current.cache_clear()
    assert door.job(job)["warnings"] == []
    assert door.job(job)["cost"] == "0.00"


def test_a_job_with_answers_that_have_no_price_says_so_for_good(door):
    # Given a job of a model that has a price, of which some records named another
    job, worker = door.submit(3), Worker()
    assert job["warnings"] == []
    worker.end(job, [0, 1], model="claude-of-tomorrow")
    worker.end(job, [2])

    # Then it warns of them
    (warning,) = door.job(job)["warnings"]
    assert "2 of the job's answers had no price" in warning
    assert door.job(job)["cost"] is None


def test_money_is_told_to_the_last_digit(door):
    job = door.submit(1)
    in_transaction(
        lambda transaction: transaction.execute(
            update(JobCounts)
            .where(JobCounts.job_id == number_of(job))
            .values(cost=1_230_000_000_001, cost_unconfirmed=500_000_000_000)
        )
    )

    now = door.job(job)

    assert (now["cost"], now["cost_unconfirmed"]) == ("1.230000000001", "0.50")


def test_what_may_be_changed_is_changed_and_the_rest_stays(door):
    job = door.submit(1, name="old", metadata={"a": 1}, priority=2)

    changed = door.call("PATCH", f"{JOBS}/{job['id']}", json={"name": None, "priority": 10}).get_json()

    assert (changed["name"], changed["priority"], changed["metadata"]) == (None, 10, {"a": 1})
    assert door.job(job)["priority"] == 10


def test_nothing_else_can_be_changed(door):
    job = door.submit(1)
    for change in ({"status": "completed"}, {"priority": 0}, {"max_cost": "-1"}, {"model": "x"}, []):
        assert door.call("PATCH", f"{JOBS}/{job['id']}", json=change).status_code == 422, change


def test_a_change_that_is_not_json_is_a_415(door):
    job = door.submit(1)

    response = door.call("PATCH", f"{JOBS}/{job['id']}", data="name=x", content_type="text/plain")

    assert response.status_code == 415


def test_a_job_is_paused_resumed_cancelled_and_deleted(door):
    # Given a job
    job = door.submit(3)
    path = f"{JOBS}/{job['id']}"

    # When it is paused, it says why it stands still, and goes on when it is resumed
    paused = door.post(f"{path}/pause").get_json()
    assert (paused["status"], paused["limited_by"]) == ("paused", "paused")
    assert door.post(f"{path}/resume").get_json()["status"] in ("pending", "running")

    # When it is cancelled, each of its records is cancelled at once
    cancelled = door.post(f"{path}/cancel").get_json()
    assert cancelled["status"] == "cancelled"
    assert cancelled["counts"]["cancelled"] == 3
    assert cancelled["progress"] == 1
    assert door.post(f"{path}/cancel").status_code == 200

    # When it is deleted, it is gone
    assert door.call("DELETE", path).status_code == 204
    assert door.get(path).status_code == 404
    assert door.get(JOBS).get_json()["data"] == []


def test_a_job_cannot_do_what_its_status_forbids(door):
    job = door.submit(2)
    path = f"{JOBS}/{job['id']}"

    assert door.call("DELETE", path).status_code == 409
    assert door.post(f"{path}/retry").status_code == 409
    door.post(f"{path}/cancel")
    refused = door.post(f"{path}/pause")

    assert refused.status_code == 409
    assert refused.get_json()["error"]["type"] == "conflict"
    assert "cancelled" in refused.get_json()["error"]["message"]
    assert door.post(f"{path}/resume").status_code == 409


def test_a_job_that_is_not_there_is_a_404(door):
    for name in ("nope", "0193a6a8-0000-7000-8000-000000000000", "%00", "'; drop table job"):
        assert door.get(f"{JOBS}/{name}").status_code == 404, name
        assert door.post(f"{JOBS}/{name}/cancel").status_code == 404, name


def test_another_tenants_job_does_not_exist(door):
    # Given a job of one tenant and a key of another
    job = door.submit(2)
    stranger = door.other()
    path = f"{JOBS}/{job['id']}"

    # Then whatever the stranger asks is answered as if there were no such job
    assert stranger.get(JOBS).get_json()["data"] == []
    answers = [stranger.get(f"{path}{rest}") for rest in ("", "/records", "/results", "/events")]
    answers += [stranger.post(f"{path}/{verb}") for verb in ("cancel", "pause", "resume", "retry")]
    answers += [stranger.call("PATCH", path, json={"name": "mine"}), stranger.call("DELETE", path)]
    assert [answer.status_code for answer in answers] == [404] * 10
    assert door.job(job)["name"] is None


def test_a_query_that_cannot_be_used_is_named(door):
    for query in ("limit=0", "limit=1001", "limit=x", "cursor=!", "cursor=YWJj", "staus=x"):
        response = door.get(f"{JOBS}?{query}")

        assert response.status_code == 422, query
        [problem] = response.get_json()["error"]["details"]["problems"]
        assert problem["where"] == query.partition("=")[0]


def test_an_end_is_foretold_from_the_latest_answers(door):
    # Given a running job that has answered 20 of its 100 records for ten seconds
    job, worker = door.submit(120), Worker()
    worker.end(job, list(range(20)))
    in_transaction(
        lambda transaction: transaction.execute(
            update(Job).where(Job.id == number_of(job)).values(status="running", started_at=now(-10))
        )
    )

    # Then it ends in about fifty seconds; and nothing is foretold of a paused one
    eta = dt.datetime.fromisoformat(door.job(job)["eta"])
    assert 45 < (eta - dt.datetime.now(dt.UTC)).total_seconds() < 55
    assert door.post(f"{JOBS}/{job['id']}/pause").get_json()["eta"] is None


def test_what_is_answered_is_what_the_document_says(door):
    # Given the contract's document, and one of everything that it answers with
    document = door.get("/api/v1/openapi.json").get_json()
    job, worker = door.submit(4), Worker()
    worker.end(job, [0])
    worker.end(job, [1], error=("x", "y"))
    worker.claim(job, [2])
    answers = {
        "JobOut": door.job(job),
        "JobPage": door.get(JOBS).get_json(),
        "RecordPage": door.get(job["links"]["records"]).get_json(),
        "MeOut": door.get("/api/v1/me").get_json(),
        "KeyList": door.get("/api/v1/keys").get_json(),
        "NewKeyOut": door.post("/api/v1/keys", json={"name": "n"}).get_json(),
        "ReadyOut": door.get("/ready").get_json(),
        "ErrorOut": door.get(f"{JOBS}/x").get_json(),
    }

    # Then each has the form that the document gives it, and no field beside it
    for name, answer in answers.items():
        jsonschema_rs.validate({"$ref": f"#/components/schemas/{name}", **document}, answer)
        assert set(answer) == set(document["components"]["schemas"][name]["properties"]), name
    record = answers["RecordPage"]["data"][0]
    sometimes = {"document", "reused", "reused_from", "copy_of", "value", "repair"}
    assert {*record, *sometimes} == set(document["components"]["schemas"]["RecordOut"]["properties"])


def test_a_database_that_is_away_is_a_503_that_says_when_to_try_again(door, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")
    session.engine().dispose()
    settings.current.cache_clear()
    session.engine.cache_clear()

    response, ready = door.get(JOBS), door.get("/ready")

    assert (response.status_code, ready.status_code) == (503, 503)
    assert response.headers["Retry-After"]
    assert response.get_json()["error"]["type"] == "unavailable"
    assert ready.get_json()["error"]["details"] == {"down": ["database"]}
