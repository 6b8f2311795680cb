"""Every rule of the third specification (analyses), on real workers."""

import datetime as dt
import json

import pytest

from app.core.money.pricing import price_at
from app.providers.client import Usage
from config import settings
from tests.support.commands import Stack as Up
from tests.support.servers import wait_until
from tests.support.shared_stack import running_service

GROUP = "anthropic:haiku-4.5"
ANALYZE, JOBS, ONE = "/api/v1/batch/analyze", "/api/v1/batch/jobs", "/api/v1/analyze"
ANSWER = {"summary": "All is well.", "insights": ["calm"], "next_actions": ["wait"], "confidence": 0.75}


@pytest.fixture(scope="module")
def module_service(request, upstream_process, tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    more = {
        "BATCH_PERSISTENCE_BACKEND": "file",
        "BATCH_JOB_STORAGE_PATH": str(folder / "batch_jobs"),
    }
    with running_service(request, upstream_process, folder, **more) as made:
        yield made


@pytest.fixture
def service(module_service, upstream):
    return module_service


def records(count):
    return [
        {"structured_data": {"data": {"number": number}}, "notes": [f"Note of {number}"]}
        for number in range(count)
    ]


def submit(door, wanted):
    response = door.post(ANALYZE, json={"records": wanted})
    assert response.status_code == 202, response.text
    return response.get_json()["job_id"]


def status(door, job):
    return door.get(f"/api/v1/batch/{job}/status").get_json()


def ended(door, job):
    wait_until(lambda: status(door, job)["status"] in ("completed", "failed"), what="the batch has ended")
    return status(door, job)


@pytest.mark.long
def test_rule_1_a_long_batch_is_spread_over_the_minute(service):
    # Given a batch of more than two minutes of a limit, over two workers
    limits = service.door.other(scopes=["operator"])
    limits.call("PUT", f"/api/v1/limits/{GROUP}", json={"requests_per_minute": 100})
    job = submit(service.door, records(240))
    wait_until(lambda: len(service.upstream.books()) >= 8, what="calls come")

    # Then they come one after the other, at the pace that fills a minute with as many as are allowed
    times = [entry["at"] for entry in service.upstream.books()]
    assert times[7] - times[0] >= 7 * 60 / 100 - 0.3  # one may be late by so much

    # When the limit is taken back, the batch ends soon
    limits.call("PUT", f"/api/v1/limits/{GROUP}", json={"requests_per_minute": None})
    assert ended(service.door, job)["completed_count"] == 240


def test_rule_2_calls_at_a_time_are_bounded_by_5_unless_configured(service):
    service.upstream.configure(latency_ms=600)

    ended(service.door, submit(service.door, records(12)))

    assert service.upstream.summary()["most_in_flight"] == 5


def test_rule_3_jobs_and_results_survive_the_end_of_every_process(service):
    # Given a batch that is under way
    service.upstream.configure(latency_ms=300)
    job = submit(service.door, records(30))
    wait_until(lambda: status(service.door, job)["results"], what="a result")
    before = status(service.door, job)["results"]

    # When a worker is killed and another starts, and a new web process is asked
    killed = service.stack.nodes[0]
    killed.kill()
    service.stack.nodes[0] = service.stack.start_slices()
    service.stack.nodes.pop()
    with service.instance() as door:
        after = ended(door, job)

        # Then what there was is there, the rest was done, and the jobs are listed newest first
        assert [item for item in after["results"] if item in before] == before
        assert (after["completed_count"], after["failed_count"]) == (30, 0)
        listed = door.get(f"{JOBS}?limit=2").get_json()["jobs"]
    assert listed[0] == {name: after[name] for name in listed[0]}
    assert len(listed) == 2


def test_rule_3_the_status_of_a_job_is_a_file_when_it_has_ended_and_goes_with_its_content(service):
    # Given a job that has ended
    job = submit(service.door, records(3))
    answer = ended(service.door, job)

    # Then its status is beside the database, as it is answered
    file = service.stack.folder / "batch_jobs" / f"{job}.json"
    wait_until(file.exists, what="the file is there")
    assert json.loads(file.read_text()) == answer
    assert file.stat().st_mode & 0o077 == 0

    # And not any more when it was deleted
    assert service.door.call("DELETE", f"/api/v1/jobs/{job}").status_code == 204
    wait_until(lambda: not file.exists(), what="the file is gone")


@pytest.mark.long
def test_rule_3_rows_in_memory_go_with_the_processes_and_that_is_said(tmp_path):
    # Given a stack that keeps nothing, and what one left that was killed
    left = tmp_path / "data" / "volatile-of-the-last"
    left.mkdir(parents=True)
    stack = Up(tmp_path / "data", BATCH_PERSISTENCE_BACKEND="memory", DEFAULT_MODEL="simulated").is_ready()
    try:
        # When a record is analysed by it, over all its processes
        with stack.client() as client:
            answer = client.post("/analyze", json={"notes": ["Something happened."]})
            jobs = client.get("/batch/jobs").json()["jobs"]
        kept = [folder for folder in left.parent.glob("volatile-*") if folder != left]
    finally:
        stack.interrupt()
        stack.ends()

    # Then it is answered, one warning says that nothing stays, and nothing does
    assert answer.status_code == 200, answer.text
    assert [job["completed_count"] for job in jobs] == [1]
    assert stack.said.count("WARNING: BATCH_PERSISTENCE_BACKEND=memory") == 1
    assert len(kept) == 1
    assert not list((tmp_path / "data").glob("*.db"))
    assert not list((tmp_path / "data").glob("volatile-*"))


def test_rule_4_probes_need_no_key_and_ready_says_what_submission_lacks(service):
    # Given callers without a key
    client = service.door.client
    assert client.get("/api/v1/health").status_code == 200
    ready = client.get("/api/v1/ready")
    assert (ready.status_code, ready.get_json()["degraded"]) == (200, [])

    # When the folder of the results cannot be written to
    folder = service.stack.folder / "batch_jobs"
    away = folder.rename(folder.with_name("away"))
    try:
        wait_until(lambda: client.get("/api/v1/ready").status_code == 503, what="it is not ready")
        refused = client.get("/api/v1/ready")
    finally:
        away.rename(folder)

    assert "storage" in refused.text
    assert client.get("/api/v1/health").status_code == 200


def test_rule_5_results_can_be_read_before_the_batch_has_ended(service):
    service.upstream.configure(latency_ms=200)
    job = submit(service.door, records(20))
    begun = status(service.door, job)
    assert begun["status"] in ("accepted", "processing")

    seen = []
    wait_until(lambda: seen.append(status(service.door, job)) or seen[-1]["results"], what="a result")
    partial, whole = seen[-1], ended(service.door, job)

    assert partial["status"] == "processing"
    assert 0 < partial["completed_count"] == len(partial["results"]) < 20
    assert partial["progress_percent"] == len(partial["results"]) * 5
    assert [item["index"] for item in whole["results"]] == list(range(20))
    assert all(item in whole["results"] for item in partial["results"])
    assert (whole["status"], whole["progress_percent"]) == ("completed", 100)


def test_rule_6_one_bad_record_fails_alone_after_its_tries(service):
    # Given a record that the provider refuses, one whose connection always breaks, and one that breaks once
    service.upstream.configure(
        faults=[
            {"kind": "status", "status": 400, "matching": "Note of 1", "message": "not this one"},
            {"kind": "cut", "matching": "Note of 2"},
            {"kind": "cut", "matching": "Note of 3", "first_of_each": 1},
        ]
    )

    body = ended(service.door, submit(service.door, records(5)))

    assert (body["status"], body["completed_count"], body["failed_count"]) == ("completed", 3, 2)
    refused, cut = body["results"][1], body["results"][2]
    assert (refused["success"], refused["response"], cut["success"]) == (False, None, False)
    assert "not this one" in refused["error"]
    assert "connection_cut" in cut["error"]
    calls = [entry["text"] for entry in service.upstream.books()]
    assert [sum(f"Note of {number}" in text for text in calls) for number in range(5)] == [1, 1, 2, 2, 1]


def test_rule_7_a_provider_that_asks_to_wait_is_waited_for_and_no_record_pays_for_it(service):
    # Given a provider that refuses the first calls
    refusal = {"kind": "status", "status": 429, "first": 2, "headers": {"retry-after": "1"}}
    service.upstream.configure(faults=[refusal])

    body = ended(service.door, submit(service.door, records(6)))

    assert (body["completed_count"], body["failed_count"]) == (6, 0)
    assert service.upstream.summary()["refused"] <= 2


def test_rule_8_tokens_and_cost_of_a_batch_are_those_of_its_answers(service):
    # Given answers of a known size, and one record that fails
    service.upstream.configure(
        faults=[
            {"kind": "status", "status": 400, "matching": "Note of 1"},
            {"kind": "answer", "text": json.dumps(ANSWER)},
        ]
    )

    body = ended(service.door, submit(service.door, records(4)))

    # Then the tokens are what the provider counted for those that succeeded, and the cost is their price
    billed = service.upstream.summary()
    assert body["total_tokens_used"] == billed["input_tokens"] + billed["output_tokens"]
    answer = body["results"][0]["response"]
    assert answer == {
        "summary": "All is well.",
        "insights": ["calm"],
        "next_actions": ["wait"],
        "metadata": {
            "confidence": 0.75,
            "model_version": "claude-haiku-4-5",
            "tokens_used": body["total_tokens_used"] // 3,
        },
    }
    job = service.door.get(f"/api/v1/jobs/{body['job_id']}").get_json()
    assert body["estimated_cost"] == float(job["cost"]) > 0


def test_rule_8_a_variable_of_the_costs_replaces_the_price_of_its_side(service, monkeypatch):
    # Given the price of a million tokens in, and out, with one variable set
    today = dt.datetime.now(dt.UTC)
    ins, outs = Usage(input_tokens=1_000_000), Usage(output_tokens=1_000_000)
    listed = price_at("claude-haiku-4-5", today)
    monkeypatch.setenv("BATCH_COST_PER_1K_INPUT_TOKENS", "0.5")
    settings.current.cache_clear()

    changed = price_at("claude-haiku-4-5", today)
    monkeypatch.undo()
    settings.current.cache_clear()

    assert changed.cost(ins) == 500 * 10**12
    assert changed.cost(outs) == listed.cost(outs)


def test_one_record_is_analysed_at_once_or_the_caller_learns_why_not(service):
    # When one record is analysed, one that the provider refuses, and one that is not waited for
    whole = service.door.post(ONE, json=records(1)[0])
    service.upstream.configure(
        latency_ms=300,
        faults=[{"kind": "status", "status": 400, "matching": "bad", "message": "not this one"}],
    )
    refused = service.door.post(ONE, json={"notes": ["bad"]})
    with service.instance(BATCH_PROCESS_WAIT_SECONDS="0") as door:
        late = door.post(ONE, json={"notes": ["late"]})

    # Then there is an analysis, a reason, and the job that goes on
    assert whole.status_code == 200, whole.text
    assert set(whole.get_json()) == {"summary", "insights", "next_actions", "metadata"}
    assert refused.status_code == 502
    assert "not this one" in refused.get_json()["detail"]
    assert late.status_code == 503
    assert late.headers["Penstock-Job"] in late.get_json()["detail"]
    job = f"/api/v1/jobs/{late.headers['Penstock-Job']}"
    wait_until(lambda: service.door.get(job).get_json()["status"] == "completed", what="it has gone on")


def test_a_bad_request_is_a_422_that_names_its_field_and_nothing_is_asked(service):
    good = records(1)[0]
    for body, loc in [
        ({}, ["body", "records"]),
        ({"records": []}, ["body", "records"]),
        ({"records": [good] * 501}, ["body", "records"]),
        ({"records": [good, {}]}, ["body", "records", 1]),
        ({"records": [good, {"notes": [" "]}]}, ["body", "records", 1]),
        ({"records": [good, {"notes": [7]}]}, ["body", "records", 1, "notes", 0]),
        (
            {"records": [{**good, "structured_data": {"data": []}}]},
            ["body", "records", 0, "structured_data", "data"],
        ),
        ({"records": [{"notes": ["x" * 100_000] * 20}]}, ["body", "records", 0]),
        ({"records": [good], "webhook_url": "https://10.0.0.1"}, ["body", "webhook_url"]),
    ]:
        response = service.door.post(ANALYZE, json=body)
        assert response.status_code == 422, loc
        assert response.get_json()["detail"][0]["loc"] == loc
    for limit in ("0", "201", "x"):
        response = service.door.get(f"{JOBS}?limit={limit}")
        assert response.status_code == 422
        assert response.get_json()["detail"][0]["loc"] == ["query", "limit"]
    assert service.upstream.summary()["requests"] == 0
