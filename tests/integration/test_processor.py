"""The batch processor's contract, call by call, without workers: the test itself says how items end."""

import json
import uuid
from typing import Any

import pytest
from sqlalchemy import update

from app.core.pipeline import lifecycle as core_jobs
from config import settings
from models.job import Job, JobStatus
from models.session import in_transaction
from tasks import advance
from tests.support.front_door import Door, Worker, number_of

pytestmark = pytest.mark.one_database

PATH = "/api/batch-processor"
INFERENCE = {
    "type": "inference",
    "model": "m",
    "model_version": "1",
    "output": [0.1, 0.85, 0.05],
    "confidence": None,
}


@pytest.fixture
def door(environment, monkeypatch) -> Door:
    monkeypatch.setenv("DEFAULT_MODEL", "simulated")
    monkeypatch.setenv("INFERENCE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("INFERENCE_MODEL", "double")
    settings.current.cache_clear()
    return Door(scopes=("admin", "operator"))


def submit(door: Door, data: Any = 2, status: int = 200, **fields: Any) -> dict[str, Any]:
    if isinstance(data, int):
        data = [{"prompt": f"Say {number}"} for number in range(data)]
    response = door.post(f"{PATH}/submit", json={"data": data, **fields})
    assert response.status_code == status, response.text
    return response.get_json()


def get(door: Door, path: str, status: int = 200) -> dict[str, Any]:
    response = door.get(f"{PATH}/{path}")
    assert response.status_code == status, response.text
    return response.get_json()


def job(door: Door, batch: dict[str, Any]) -> dict[str, Any]:
    """The native job of a batch, as the other doors find it."""
    return door.get(f"/api/v1/jobs/{batch['batch_id']}").get_json()


def finish(found: dict[str, Any]) -> None:
    advance.run(number_of(found))


def test_a_batch_is_queued_looked_at_and_its_results_fetched(door):
    # When a batch is submitted
    batch = submit(door, [{"prompt": "a"}, {"prompt": "b", "request_id": "mine"}, {"messages": [hello()]}])

    # Then the answer has every field of the contract
    assert batch["status"] == "queued"
    assert (batch["queue_position"], batch["request_count"]) == (1, 3)
    assert batch["estimated_completion_time"].endswith("Z")
    assert uuid.UUID(batch["batch_id"]).version == 7

    # And while it runs, its status counts what has ended, and there are no results
    found = job(door, batch)
    Worker().end(found, [0])
    status = get(door, f"status/{batch['batch_id']}")
    assert (status["status"], status["progress"]) == ("processing", 0.3333)
    assert (status["completed_requests"], status["failed_requests"], status["total_requests"]) == (1, 0, 3)
    assert status["processing_time_ms"] >= 0
    assert status["estimated_completion_time"]
    assert "error" not in status
    assert "no results before it has ended" in get(door, f"results/{batch['batch_id']}", 409)["message"]
    partly = get(door, f"results/{batch['batch_id']}?partial=true")
    assert [result["request_id"] for result in partly["results"]] == ["req_1"]

    # When the others have ended, one of them in vain
    Worker().end(found, [1], error=("timeout", "no whole answer"))
    Worker().end(found, [2])
    finish(found)

    # Then the results are those of all items
    results = get(door, f"results/{batch['batch_id']}")
    assert results["status"] == "completed"
    assert [result["request_id"] for result in results["results"]] == ["req_1", "mine", "req_3"]
    good, bad, _ = results["results"]
    assert (good["output"], good["confidence"], good["processing_time_ms"], good["error"]) == (
        "Good.",
        None,
        250,
        None,
    )
    assert bad["output"] is None
    assert bad["error"] == {"type": "timeout", "message": "no whole answer"}
    assert results["metadata"]["batch_size"] == 3
    total = results["metadata"]["total_processing_time_ms"]
    assert results["metadata"]["average_per_request_ms"] == round(total / 3, 3)
    response = door.get(f"{PATH}/status/{batch['batch_id']}")
    assert response.headers["Penstock-Job"] == found["id"]
    assert response.get_json()["failed_requests"] == 1


def hello() -> dict[str, str]:
    return {"role": "user", "content": "hello"}


def test_an_input_goes_to_the_inference_server_and_a_likely_output_is_confident(door):
    # Given a batch of tensors, for the model of the environment and for one that is named
    batch = submit(door, [{"input": [1.0, 2.0]}, {"input": [3, 4]}, {"input": "x"}])
    assert job(door, batch)["model"] == "inference:double"
    assert job(door, submit(door, [{"input": 1}], metadata={"model_id": "model-v1.0"}))["model"] == (
        "inference:model-v1.0"
    )

    # When they are answered with a probability vector, with numbers that are none, and by a sure model
    found = job(door, batch)
    for index, part in enumerate(({}, {"output": [2, 4]}, {"output": "yes", "confidence": 0.7})):
        Worker().end(found, [index], answer=json.dumps(INFERENCE | part).encode(), model="inference:double")
    finish(found)

    # Then outputs are as they came, and confidence is what is known
    results = get(door, f"results/{batch['batch_id']}")["results"]
    assert [(one["output"], one["confidence"]) for one in results] == [
        ([0.1, 0.85, 0.05], 0.85),
        ([2, 4], None),
        ("yes", 0.7),
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "data"),
        ({"data": []}, "1 to 1,000 items"),
        ({"data": [{"prompt": "x"}] * 1_001}, "1 to 1,000 items"),
        ({"data": [{"prompt": "x"}], "priority": "urgent"}, "priority"),
        ({"data": [{"prompt": "x"}], "timeout_ms": 99}, "100 to 300,000"),
        ({"data": [{"prompt": "x"}], "timeout_ms": 300_001}, "100 to 300,000"),
        ({"data": [{"prompt": "x"}], "batch_id": "a b"}, "batch_id"),
        ({"data": [{"prompt": "x"}], "webhook_url": "gopher://x"}, "webhook_url"),
        ({"data": [{"prompt": "x"}], "metadata": {"model_id": 7}}, "metadata.model_id"),
        ({"data": [{"prompt": "x"}], "metadata": {"model_id": "gtp-9"}}, "'gtp-9' is not known"),
        ({"data": ["x"]}, "data[0]: an item must be an object"),
        ({"data": [{"text": "x"}]}, "data[0]: give exactly one of prompt, messages and input; found 'text'"),
        ({"data": [{"prompt": "x", "input": [1]}]}, "exactly one of"),
        ({"data": [{"prompt": "x"}, {"prompt": ""}]}, 'data[1]: "prompt" must be a non-empty string'),
        ({"data": [{"prompt": "x", "request_id": 5}]}, "data[0].request_id"),
        (
            {"data": [{"prompt": "x", "request_id": "req_2"}, {"prompt": "y"}]},
            "'req_2' is already the id of data[0]",
        ),
        ({"data": [{"prompt": "x"}, {"input": [1]}]}, "all items have an `input`"),
        ({"data": [{"input": [[1], [2, 3]]}]}, "rectangular"),
    ],
)
def test_a_bad_batch_is_refused_whole_and_says_why(door, body, said):
    response = door.post(f"{PATH}/submit", json=body)
    assert response.status_code == 422
    told = response.get_json()
    assert set(told) >= {"error", "error_id", "message"}
    assert told["error_id"] == response.headers["X-Request-Id"]
    assert said in told["message"]
    assert door.get("/api/v1/jobs").get_json()["data"] == []


def test_a_model_of_a_provider_without_a_key_is_a_422_with_its_variable(door):
    assert "ANTHROPIC_API_KEY" in submit(door, 1, 422, metadata={"model_id": "claude-haiku-4-5"})["message"]


def test_a_callers_own_id_is_its_own_until_the_batch_has_ended(door):
    # Given a batch with a name
    first = submit(door, 1, batch_id="nightly:1")
    assert first["batch_id"] == "nightly:1"
    assert get(door, "status/nightly:1")["batch_id"] == "nightly:1"

    # When the name is given again, then it is refused while the batch is live, and for this tenant alone
    assert "has not ended" in submit(door, 1, 409, batch_id="nightly:1")["message"]
    submit(door.other(), 1, batch_id="nightly:1")
    found = job(door, first)
    Worker().end(found, [0])
    finish(found)
    submit(door, 2, batch_id="nightly:1")

    # Then it means the newest, and the first is found by its id
    assert get(door, "status/nightly:1")["total_requests"] == 2
    assert get(door, f"status/{found['id']}")["total_requests"] == 1


def test_another_tenants_batch_is_a_404_in_every_call(door):
    batch = submit(door)["batch_id"]
    other = door.other()
    for method, path in (("GET", "status"), ("GET", "results"), ("DELETE", "cancel")):
        response = other.call(method, f"{PATH}/{path}/{batch}")
        assert response.status_code == 404
        assert set(response.get_json()) == {"error", "error_id", "message"}
    assert other.get(f"{PATH}/batches?status=all").get_json() == {"batches": [], "has_more": False}
    assert get(door, "status/unknown", 404)["error"] == "not_found"


def test_errors_before_a_route_have_the_contracts_shape(door):
    for method, path in (("GET", "nowhere"), ("PUT", "submit")):
        told = door.call(method, f"{PATH}/{path}").get_json()
        assert set(told) == {"error", "error_id", "message"}
    assert door.client.get(f"{PATH}/batches").status_code == 401
    assert set(door.client.get(f"{PATH}/batches").get_json()) == {"error", "error_id", "message"}
    assert door.get(f"{PATH}/batches/").status_code == 200


def test_a_fault_of_ours_is_told_without_a_word_of_it(door, capfd):
    # Given a row with a word that the code does not know
    batch = submit(door)
    unknown = update(Job).where(Job.uid == uuid.UUID(batch["batch_id"])).values(status="my secret")
    in_transaction(lambda session: session.execute(unknown) and None)

    # When it stumbles over that
    door.app.testing = False
    response = door.call("DELETE", f"{PATH}/cancel/{batch['batch_id']}")

    # Then the caller learns by which number the log tells of it
    assert response.status_code == 500
    told = response.get_json()
    assert told == {
        "error": "Internal server error",
        "error_id": told["error_id"],
        "message": "An unexpected error occurred. Please try again later.",
    }
    [line] = [line for line in capfd.readouterr().err.splitlines() if told["error_id"] in line]
    assert response.headers["X-Request-Id"] in line


def ended(door: Door, how: str) -> str:
    """A batch of two items that has ended so."""
    batch = submit(door)
    found = job(door, batch)
    if how == "half":
        Worker().end(found, [0])
        Worker().end(found, [1], error=("x", "y"))
    elif how == "none":
        Worker().end(found, [0, 1], error=("x", "y"))
    elif how == "cancelled":
        door.call("DELETE", f"{PATH}/cancel/{batch['batch_id']}")
    else:
        if how == "expired in part":
            Worker().end(found, [0])
        expire(found)
    finish(found)
    return batch["batch_id"]


def expire(found: dict[str, Any]) -> None:
    def work(session: Any) -> None:
        one = session.get_one(Job, number_of(found))
        core_jobs.close(session, one, JobStatus.EXPIRED, "Its time limit was 5,000 ms from its first call.")

    in_transaction(work)


@pytest.mark.parametrize(
    ("how", "word", "error"),
    [
        ("half", "completed", None),
        ("none", "failed", "all 2 items failed"),
        ("cancelled", "cancelled", None),
        ("expired", "failed", "5,000 ms"),
        ("expired in part", "completed", "5,000 ms"),
    ],
)
def test_the_word_for_how_a_batch_ended(door, how, word, error):
    batch = ended(door, how)
    status = get(door, f"status/{batch}")
    assert (status["status"], status["progress"]) == (word, 1.0)
    assert (error or "") in status.get("error", "")
    assert ("error" in status) is (error is not None)
    results = get(door, f"results/{batch}")["results"]
    assert len(results) == 2
    assert [one["output"] for one in results if one["error"]] == [None] * status["failed_requests"]
    listed = {one["batch_id"] for one in get(door, f"batches?status={word}")["batches"]}
    assert batch in listed


def test_batches_are_listed_newest_first_by_status_and_in_pages(door):
    batches = [submit(door, 1, priority=word)["batch_id"] for word in ("critical", "low", "normal")]
    gone = ended(door, "cancelled")

    active = get(door, "batches")["batches"]
    assert [one["batch_id"] for one in active] == batches[::-1]
    assert [one["priority"] for one in active] == ["normal", "low", "critical"]
    assert set(active[0]) == {
        "batch_id",
        "status",
        "priority",
        "request_count",
        "completed_requests",
        "created_at",
    }
    assert get(door, "batches?status=cancelled")["batches"][0]["batch_id"] == gone
    first = get(door, "batches?status=all&limit=2")
    assert ([one["batch_id"] for one in first["batches"]], first["has_more"]) == ([gone, batches[2]], True)
    for bad in ("status=busy", "limit=0", "limit=101"):
        get(door, f"batches?{bad}", 422)


def test_a_job_of_another_door_is_read_through_this_one(door):
    made = door.submit(2, priority=9)
    status = get(door, f"status/{made['id']}")
    assert (status["batch_id"], status["total_requests"]) == (made["id"], 2)
    assert get(door, "batches")["batches"][0]["priority"] in ("critical", "high")


def test_cancelling_ends_a_batch_once(door):
    batch = submit(door)["batch_id"]
    response = door.call("DELETE", f"{PATH}/cancel/{batch}")
    assert response.get_json() == {"batch_id": batch, "status": "cancelled"}
    finish(job(door, {"batch_id": batch}))
    assert get(door, f"status/{batch}")["status"] == "cancelled"
    for over in (batch, ended(door, "half")):
        refused = door.call("DELETE", f"{PATH}/cancel/{over}")
        assert (refused.status_code, "Penstock-Job" in refused.headers) == (409, True)


def test_more_items_than_the_queue_takes_are_a_429_that_says_when(door, monkeypatch):
    monkeypatch.setenv("MAX_QUEUE_SIZE", "3")
    settings.current.cache_clear()
    submit(door, 2)
    response = door.post(f"{PATH}/submit", json={"data": [{"prompt": "x"}] * 2})
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    assert "MAX_QUEUE_SIZE" in response.get_json()["message"]


def test_the_configuration_is_read_by_all_and_changed_by_operators(door):
    # Given what is in force by the environment
    before = get(door, "configure")
    assert before == {
        "max_batch_size": 128,
        "max_wait_time_ms": 50,
        "enable_dynamic_batching": True,
        "enable_adaptive_batching": True,
        "priority_weights": {"critical": 1.0, "high": 0.8, "normal": 0.5, "low": 0.2},
    }

    # When a part of it is changed, then the answer is all that is in force
    changed = door.post(
        f"{PATH}/configure", json={"max_batch_size": 64, "priority_weights": {"low": 0.3}}
    ).get_json()
    assert changed == before | {
        "max_batch_size": 64,
        "priority_weights": before["priority_weights"] | {"low": 0.3},
    }
    assert get(door, "configure") == changed
    assert job(door, submit(door, 1, priority="low"))["priority"] == 3

    # And what is out of range, unknown or not the caller's to say is refused
    for bad in (
        {"max_batch_size": 0},
        {"max_batch_size": "64"},
        {"max_wait_time_ms": 10_001},
        {"enable_dynamic_batching": "yes"},
        {"enable_adaptive_batching": 1},
        {"priority_weights": {"low": 1.1}},
        {"priority_weights": {"urgent": 1}},
        {"colour": "red"},
    ):
        assert door.post(f"{PATH}/configure", json=bad).status_code == 422, bad
    for scopes in (("jobs:read", "jobs:write"), ("admin",)):
        tenant = door.other("acme", scopes=scopes)
        assert tenant.get(f"{PATH}/configure").status_code == 200
        assert tenant.post(f"{PATH}/configure", json={"max_batch_size": 1}).status_code == 403


@pytest.mark.parametrize("scopes", [("jobs:read", "jobs:write"), ("admin",)])
def test_metrics_and_analytics_are_of_the_callers_tenant_and_of_all_for_operators(door, scopes):
    # Given two tenants: three items ended of one, one of them in vain, and one waits; one item of the other
    reader = door.other("acme", scopes=scopes)
    other = door.other()
    found = job(door, submit(door, 4))
    Worker().end(found, [0, 1])
    Worker().end(found, [2], error=("x", "y"))
    theirs = job(other, submit(other, 1))
    Worker().end(theirs, [0])

    # Then a tenant's figures are its own
    told = get(reader, "metrics")
    stats = told["current_stats"]
    assert (stats["active_batches"], stats["queue_length"]) == (1, 1)
    assert stats["throughput_per_second"] == round(3 / 60, 3)
    assert stats["average_latency_ms"] == pytest.approx(250, abs=5)
    assert told["performance_stats"]["total_processed"] == 3
    assert told["performance_stats"]["success_rate"] == pytest.approx(2 / 3)
    assert told["performance_stats"]["error_rate"] == pytest.approx(1 / 3)
    assert told["resource_usage"]["memory_usage_mb"] > 10
    assert told["resource_usage"]["gpu_usage_percent"] is None
    assert "process group" in told["resource_usage"]["of"]

    # And an operator's are everybody's
    assert get(door, "metrics")["performance_stats"]["total_processed"] == 4
    series = get(reader, "analytics?period=5m&metrics=throughput,latency,queue,tokens")
    assert (series["period"], set(series["metrics"])) == ("5m", {"throughput", "latency", "queue", "tokens"})
    assert all(len(points) == 30 for points in series["metrics"].values())
    assert sum(point["value"] for point in series["metrics"]["throughput"]) * 10 == pytest.approx(3)
    assert sum(point["value"] for point in series["metrics"]["tokens"]) == 45
    assert series["metrics"]["queue"][-1]["value"] == 1
    assert series["metrics"]["queue"][0]["value"] == 0
    of_all = get(door, "analytics?period=24h")["metrics"]
    assert set(of_all) == {"throughput", "latency", "errors", "queue", "tokens", "cost"}
    assert sum(point["value"] for point in of_all["tokens"]) == 60
    for bad in ("period=2h", "metrics=speed"):
        get(door, f"analytics?{bad}", 422)


def test_monitoring_that_is_switched_off_is_a_404(door, monkeypatch):
    monkeypatch.setenv("ENABLE_MONITORING", "false")
    settings.current.cache_clear()
    assert get(door, "metrics", 404)["message"]
    get(door, "analytics", 404)
    assert door.get("/metrics").status_code == 404


def test_prometheus_finds_the_four_names(door):
    submit(door, 3)
    said = door.client.get("/metrics").text
    assert "\nactive_batches 1.0" in said
    assert "\nqueue_length 3.0" in said
    assert "\nbatch_requests_total 1.0" in said
    assert "\nbatch_processing_seconds_count 1.0" in said


def test_health_is_told_at_the_root(door):
    told = door.client.get("/health").get_json()
    assert told["status"] == "healthy"
    assert set(told) == {"status", "timestamp", "version"}
