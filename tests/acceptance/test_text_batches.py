"""Every numbered requirement of the first specification (text batches), on real workers."""

import json

import pytest

from tests.support.servers import wait_until
from tests.support.shared_stack import running_service

TEXT = "The train was late again, and nobody said why it had stood for an hour before the bridge."
RESULTS = ("result", "sentiment", "key_points", "questions")


@pytest.fixture(scope="module")
def module_service(request, upstream_process, tmp_path_factory):
    with running_service(request, upstream_process, tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture
def service(module_service, upstream):
    return module_service


def ask(door, *requests, headers=None, **more):
    return door.post("/batch_process", json={"requests": list(requests), **more}, headers=headers or {})


def texts(count, operation="summarize", **more):
    return [
        {"text": f"Text number {number}. {TEXT}", "operation": operation, **more} for number in range(count)
    ]


def logged(service, capfd, event, job):
    lines = (service.stack.logs() + capfd.readouterr().err).splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{") and f'"{event}"' in line]
    return [line for line in found if line["event"] == event and line["job"] == job]


def test_fr1_there_is_an_endpoint_at_batch_process(service):
    response = ask(service.door, *texts(1))

    assert response.status_code == 200, response.text
    assert service.door.get("/batch_process").status_code == 405


def test_fr2_a_body_of_requests_with_operations_questions_and_options_is_taken(service):
    # Given a request of each operation, with all that it may say
    asked = [
        {"text": TEXT, "operation": "summarize", "options": {"max_length": 40}, "user_metadata": {"row": 7}},
        {"text": TEXT, "operation": "sentiment"},
        {"text": TEXT, "operation": "key_points", "options": None},
        {"text": TEXT, "operation": "questions"},
        {"text": TEXT, "operation": "qa", "question": "Where did it stand?"},
    ]
    service.upstream.configure(keep_requests=True)

    # When they are sent as one batch with a name of the caller's own
    response = ask(service.door, *asked, batch_id="mixed-1")

    # Then each is asked with its own template, options, question and schema
    body = response.get_json()
    assert response.status_code == 200, response.text
    assert body["batch_id"] == "mixed-1"
    assert body["completed"] == 5, body
    sent = {_last(entry["request"]): entry["request"] for entry in service.upstream.books()}
    assert len(sent) == 5
    assert all(f"<text>\n{TEXT}\n</text>" in prompt for prompt in sent)
    assert sum('{"max_length":40}' in prompt for prompt in sent) == 1
    assert sum("Where did it stand?" in prompt for prompt in sent) == 1
    assert sum("output_config" in request for request in sent.values()) == 3
    assert {request["model"] for request in sent.values()} == {"claude-haiku-4-5"}
    assert {request["max_tokens"] for request in sent.values()} == {1024}


def test_fr3_the_response_has_every_field_and_its_results_are_in_the_order_of_the_request(service):
    # Given texts of which later ones are answered earlier
    service.upstream.configure(latency_ms=80, latency_sigma=1.0)
    operations = ["summarize", "sentiment", "key_points", "questions"]
    asked = [{"text": f"{number} {TEXT}", "operation": operations[number % 4]} for number in range(8)]
    asked.append({"text": TEXT, "operation": "qa", "question": "Why?", "user_metadata": {"row": 9}})

    # When they are processed
    response = ask(service.door, *asked)

    # Then the counts, the times and each item have what the model says they have
    body = response.get_json()
    assert set(body) == {
        "batch_id", "total_requests", "completed", "failed", "results", "total_processing_time", "timestamp",
    }  # fmt: skip
    assert (body["total_requests"], body["completed"], body["failed"]) == (9, 9, 0)
    assert 0 < body["total_processing_time"] < 60
    assert response.headers["Penstock-Job"] == body["batch_id"]
    assert [item["request_index"] for item in body["results"]] == list(range(9))
    for item, request in zip(body["results"], asked, strict=True):
        assert (item["status"], item["error"]) == ("completed", None)
        answer = item["response"]
        assert answer["operation"] == request["operation"]
        assert (answer["success"], answer["cache_hit"]) == (True, False)
        assert 0 < answer["processing_time"] < 60
        assert answer["timestamp"] <= body["timestamp"]
        field = {"summarize": "result", "qa": "result"}.get(request["operation"], request["operation"])
        assert [name for name in RESULTS if answer[name] is not None] == [field]
        assert answer["metadata"]["word_count"] == len(request["text"].split())
        assert answer["metadata"]["user_metadata"] == request.get("user_metadata")
    assert set(body["results"][1]["response"]["sentiment"]) == {"sentiment", "confidence", "explanation"}


def test_fr4_items_are_processed_at_the_same_time_within_a_limit(service):
    service.upstream.configure(latency_ms=150)

    assert ask(service.door, *texts(20)).get_json()["completed"] == 20

    assert 2 <= service.upstream.summary()["most_in_flight"] <= 5


def test_fr5_the_limit_of_concurrent_calls_is_configurable_and_5_by_default(service):
    # Given a web process that is told 2
    service.upstream.configure(latency_ms=100)
    with service.instance(BATCH_AI_CONCURRENCY_LIMIT="2") as door:
        assert ask(door, *texts(8)).get_json()["completed"] == 8

    # Then the workers, which were told nothing, keep to it
    assert service.upstream.summary()["most_in_flight"] == 2


def test_fr6_a_batch_over_the_configurable_limit_is_a_400_that_names_both_numbers(service):
    # Given the limit as it is by default, and one of 3
    too_many, none = ask(service.door, *texts(51)), ask(service.door)
    with service.instance(MAX_BATCH_REQUESTS_PER_CALL="3") as door:
        over, within = ask(door, *texts(4)), ask(door, *texts(3))

    # Then what is over it is refused, and nothing of it is asked
    assert [response.status_code for response in (too_many, none, over, within)] == [400, 400, 400, 200]
    assert "50" in too_many.get_json()["detail"]
    assert "51" in too_many.get_json()["detail"]
    assert "empty" in none.get_json()["detail"]
    assert "3" in over.get_json()["detail"]
    assert service.upstream.summary()["requests"] == 3


def test_fr7_both_endpoints_require_an_api_key_in_either_header(service):
    # Given a batch, and callers without a key, with a wrong one, with the right one, of another tenant
    door = service.door
    batch = ask(door, *texts(1)).get_json()["batch_id"]
    calls = [("POST", "/batch_process"), ("GET", f"/batch_status/{batch}")]

    for method, path in calls:
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}):
            refused = door.client.open(path, method=method, headers=headers)
            assert refused.status_code == 401
            assert "key" in refused.get_json()["detail"]
    bearer = {"Authorization": f"Bearer {door.key}"}
    assert door.client.get(calls[1][1], headers=bearer).status_code == 200
    assert door.other().get(calls[1][1]).status_code == 404


def test_fr8_an_error_of_the_whole_batch_is_a_400_or_a_generic_500(service, capfd):
    # Given a server that lost its disk
    folder = service.stack.folder
    away = folder.rename(folder.with_name("away"))
    try:
        response = ask(service.door, *texts(1))
    finally:
        away.rename(folder)

    # Then the caller learns nothing of it but an id, under which the log has the reason
    body = response.get_json()
    assert response.status_code == 500
    assert body["detail"] == "Failed to process batch request due to an internal server error."
    assert set(body) == {"detail", "error_id"}
    [line] = [line for line in capfd.readouterr().err.splitlines() if body["error_id"] in line]
    assert "FileNotFoundError" in json.loads(line)["exception"]


def test_fr8_an_item_that_fails_says_why_and_the_others_are_processed(service):
    # Given one text that the provider refuses, and one whose structured answer never fits
    service.upstream.configure(
        faults=[
            {"kind": "status", "status": 400, "matching": "number 1", "message": "not this one"},
            *(
                {"kind": "answer", "text": '{"sentiment": "mixed"}', "matching": text}
                for text in ("misfit", "does not match the schema")  # and when it is asked again
            ),
        ]
    )
    misfit = {"text": f"misfit {TEXT}", "operation": "sentiment"}

    body = ask(service.door, *texts(3), misfit).get_json()

    assert (body["completed"], body["failed"]) == (2, 2)
    assert [item["status"] for item in body["results"]] == ["completed", "failed", "completed", "failed"]
    refused, misfitting = body["results"][1], body["results"][3]
    assert (refused["response"], misfitting["response"]) == (None, None)
    assert "not this one" in refused["error"]
    assert "schema" in misfitting["error"]
    asked = [entry["text"] for entry in service.upstream.books()]
    tries = [text for text in asked if "misfit" in text or "does not match the schema" in text]
    assert len(tries) == 2  # the first, and BATCH_RECORD_RETRY_COUNT more


def test_fr9_receipt_completion_and_each_failed_item_are_logged_and_no_text_is(service, capfd):
    # Given a batch of three, one of which fails
    service.upstream.configure(faults=[{"kind": "status", "status": 400, "matching": "number 2"}])

    response = ask(service.door, *texts(3), headers={"X-Request-Id": "fr9"})

    # Then web and workers log it, each line with whose it is and by which request it came
    job = response.headers["Penstock-Job"]
    both = ("batch.received", "batch.completed", "record.failed")
    lines = {}
    wait_until(
        lambda: (
            [lines.setdefault(event, line) for event in both for line in logged(service, capfd, event, job)]
            and len(lines) == 3
        ),
        what="all three are logged",
    )
    for line in lines.values():
        assert (line["tenant"], line["user"], line["request_id"]) == ("acme", "ada", "fr9")
        assert "nobody said why" not in json.dumps(line)
    assert lines["batch.received"]["count"] == 3
    completed = lines["batch.completed"]
    assert (completed["succeeded"], completed["failed"]) == (2, 1)
    assert 0 < completed["seconds"] < 60
    assert (lines["record.failed"]["index"], lines["record.failed"]["error_type"]) == (
        2,
        "invalid_request_error",
    )


def test_fr10_batch_status_tells_the_truth_while_a_batch_runs_and_when_it_has_ended(service):
    # Given a batch that its caller does not wait for
    service.upstream.configure(latency_ms=200)
    answer = ask(service.door, *texts(15), batch_id="later", headers={"Prefer": "respond-async"})

    # Then the answer is its name, and the status tells what there is so far
    assert answer.status_code == 202
    assert answer.get_json()["batch_id"] == "later"
    assert answer.get_json()["status"] in ("PENDING", "IN_PROGRESS")
    path = answer.headers["Location"]
    between = []
    wait_until(lambda: between.append(_status(service, path)) or between[-1]["results"], what="a result")
    assert between[-1]["status"] == "IN_PROGRESS"
    assert 0 < len(between[-1]["results"]) == between[-1]["completed"]
    assert between[-1]["total_processing_time"] is None

    # And at its end, by its own name or by its job's id, all of it; what nobody submitted is a 404
    wait_until(lambda: _status(service, path)["status"] == "COMPLETED", what="the batch has ended")
    ended = _status(service, "/batch_status/later")
    assert ended == _status(service, path)
    assert (ended["completed"], len(ended["results"])) == (15, 15)
    assert ended["total_processing_time"] > 0
    assert service.door.get("/batch_status/nobodys").status_code == 404


def test_nfr2_every_field_is_checked_and_nothing_of_a_bad_batch_is_asked(service):
    # Given requests with a fault each, among good ones
    good = texts(1)[0]
    faults = {
        "text": [{"text": "short"}, {"text": " " * 20}, {"text": "x" * 10_001}, {"text": 7}, {"text": None}],
        "operation": [{"operation": "translate"}, {"operation": None}],
        "question": [{"operation": "qa"}, {"operation": "qa", "question": " "}, {"question": "x" * 2_001}],
        "options": [{"options": []}, {"options": {"x": "y" * 16_000}}],
        "user_metadata": [{"user_metadata": "x"}],
    }

    # Then each is a 422 that names its index and its field as FastAPI does
    for field, wrong in faults.items():
        for change in wrong:
            response = ask(service.door, good, good | change)
            assert response.status_code == 422, change
            [fault] = response.get_json()["detail"]
            assert fault["loc"] == ["body", "requests", 1, field]
            assert fault["msg"]
            assert fault["type"]
    for body, loc in [
        ({"requests": "x"}, ["body", "requests"]),
        ({}, ["body", "requests"]),
        ({"requests": [good, 7]}, ["body", "requests", 1]),
        ({"requests": [good], "batch_id": "a b"}, ["body", "batch_id"]),
        ({"requests": [good], "webhook_url": "https://10.0.0.1"}, ["body", "webhook_url"]),
    ]:
        response = service.door.post("/batch_process", json=body)
        assert response.status_code == 422, body
        assert response.get_json()["detail"][0]["loc"] == loc
    several = ask(service.door, good | {"text": "short"}, good, good | {"operation": "qa"}).get_json()[
        "detail"
    ]
    assert [fault["loc"][2] for fault in several] == [0, 2]
    assert service.upstream.summary()["requests"] == 0


def test_nfr3_the_contract_is_documented_under_a_tag_of_its_own(service):
    document = service.door.get("/api/v1/openapi.json").get_json()

    for path, method, scope in (
        ("/batch_process", "post", "jobs:write"),
        ("/batch_status/{batch_id}", "get", "jobs:read"),
    ):
        operation = document["paths"][path][method]
        assert operation["tags"] == ["text"]
        assert operation["security"] == [{"apiKey": [scope]}, {"bearer": [scope]}]
        assert operation["summary"]
        assert {"401", "403"} <= set(operation["responses"])
    assert "TextTextIn" in document["components"]["schemas"]


def test_nfr4_a_batch_that_one_instance_took_is_known_to_every_other(service):
    # Given two web processes and two workers on the same rows
    service.upstream.configure(latency_ms=100)
    with service.instance() as other:
        batch = ask(service.door, *texts(8), headers={"Prefer": "respond-async"}).get_json()["batch_id"]

        # Then whichever is asked knows how it stands
        wait_until(
            lambda: other.get(f"/batch_status/{batch}").get_json()["status"] == "COMPLETED",
            what="it has ended",
        )


def test_nfr5_size_wait_concurrency_and_model_are_the_environments(service):
    # Given a web process that is told so
    service.upstream.configure(latency_ms=400, keep_requests=True)
    with service.instance(
        BATCH_PROCESS_WAIT_SECONDS="0", DEFAULT_MODEL="claude-sonnet-4-5", DEFAULT_MAX_TOKENS="77"
    ) as door:
        response = ask(door, *texts(1))

        # Then it does not wait, and asks the model that it was told
        assert response.status_code == 202
        path = f"/batch_status/{response.get_json()['batch_id']}"
        wait_until(lambda: door.get(path).get_json()["status"] == "COMPLETED", what="it has ended")
    [entry] = service.upstream.books()
    assert (entry["request"]["model"], entry["request"]["max_tokens"]) == ("claude-sonnet-4-5", 77)

    # And a model that it has no key for is refused with the variable to set
    with service.instance(ANTHROPIC_API_KEY="") as door:
        response = ask(door, *texts(1))
    assert response.status_code == 422
    assert "ANTHROPIC_API_KEY" in response.get_json()["detail"][0]["msg"]


def test_nfr6_batches_beside_each_other_and_failures_within_them_leave_the_service_stable(service):
    # Given a provider that fails every third text for good and some first tries by the way
    service.upstream.configure(
        latency_ms=30,
        faults=[
            {"kind": "status", "status": 400, "matching": "number 3"},
            {"kind": "cut", "share": 0.2, "first_of_each": 1},
        ],
    )

    # When six batches are there at the same time
    paths = [
        ask(service.door, *texts(10), headers={"Prefer": "respond-async"}).headers["Location"]
        for _ in range(6)
    ]

    # Then each ends with the one failure that is its own
    for path in paths:
        wait_until(lambda path=path: _status(service, path)["status"] == "COMPLETED", what="it has ended")
        body = _status(service, path)
        assert [item["request_index"] for item in body["results"] if item["status"] == "failed"] == [3], body


def _status(service, path):
    return service.door.get(path).get_json()


def _last(request):
    return request["messages"][-1]["content"]
