"""What all dialects have in common: one set of jobs behind many doors, and who is let in."""

import base64
import json
import secrets
from functools import partial
from io import BytesIO

import pytest
from sqlalchemy import delete

from config import settings
from models import RecordOutput
from models.session import in_transaction
from tests.support.front_door import JOBS, Door, Worker, number_of

pytestmark = pytest.mark.one_database

TEXT = {"text": "A text that is long enough.", "operation": "summarize"}
NOTE = {"notes": ["Something happened."]}


@pytest.fixture
def door(environment, monkeypatch):
    monkeypatch.setenv("DEFAULT_MODEL", "simulated")
    settings.current.cache_clear()
    return Door()


def texts(door, count=2, **more):
    """A text batch that is not waited for, as its native job."""
    answer = door.post(
        "/batch_process", json={"requests": [TEXT] * count, **more}, headers={"Prefer": "respond-async"}
    )
    assert answer.status_code == 202, answer.text
    return door.get(f"{JOBS}/{answer.headers['Penstock-Job']}").get_json()


def text_status(door, name):
    return door.get(f"/batch_status/{name}").get_json()


def analysis_status(door, name):
    return door.get(f"/api/v1/batch/{name}/status").get_json()


def answering(text):
    return json.dumps({"model": "m", "content": [{"type": "text", "text": text}]}).encode()


def test_an_error_has_the_shape_of_the_contract_whose_path_it_is_under(door):
    for method, path, status, shape in [
        ("GET", "/batch_process", 405, "detail"),
        ("GET", "/batch_process/x", 404, "detail"),
        ("GET", "/batch_status/unknown", 404, "detail"),
        ("GET", "/batch_status", 404, "detail"),
        ("GET", "/batch_statuses/x", 404, "error"),
        ("GET", "/api/v1/batch/unknown/status", 404, "detail"),
        ("GET", "/api/v1/batch/analyze", 405, "detail"),
        ("PUT", "/api/v1/analyze", 405, "detail"),
        ("GET", "/api/v1/analyzes", 404, "error"),
        ("GET", "/api/v1/jobs/unknown", 404, "error"),
        ("GET", "/api/batch/unknown", 404, "error"),
        ("PUT", "/api/batch/create", 405, "error"),
    ]:
        answer = door.call(method, path)

        assert answer.status_code == status, path
        assert list(answer.get_json()) == [shape], path
    assert door.client.post("/batch_process").get_json().keys() == {"detail"}


def test_the_document_shows_errors_in_the_shape_of_their_contract(door):
    document = door.get("/api/v1/openapi.json").get_json()

    for path, method, status, name in [
        ("/batch_process", "post", "422", "InvalidOut"),
        ("/batch_status/{batch_id}", "get", "401", "DetailOut"),
        ("/api/v1/batch/jobs", "get", "422", "InvalidOut"),
        ("/api/v1/jobs", "get", "401", "ErrorOut"),
    ]:
        response = document["paths"][path][method]["responses"][status]
        response = document["components"]["responses"].get(
            response.get("$ref", "").rpartition("/")[2], response
        )
        shown = response["content"]["application/json"]["schema"]["$ref"]
        assert shown == f"#/components/schemas/{name}", path


def test_a_slash_at_the_end_of_a_path_changes_nothing(door):
    assert door.get("/api/v1/batch/jobs/").status_code == 200
    assert door.post("/batch_process/", json={"requests": []}).status_code == 400
    assert door.get(f"{JOBS}/").status_code == 200


def test_a_body_that_cannot_be_read_is_refused_in_the_dialects_shape(door):
    for path in ("/batch_process", "/api/v1/batch/analyze", "/api/v1/analyze"):
        for content, kind, status in [
            (b"{", "application/json", 422),
            (b"\xff", "application/json", 422),
            (b"[]", "application/json", 422),
            (b"{}", "text/plain", 415),
        ]:
            answer = door.post(path, data=content, content_type=kind)
            assert answer.status_code == status, (path, content)
            assert "detail" in answer.get_json()


def test_a_body_may_be_as_large_as_a_submission_and_no_larger(door, monkeypatch):
    monkeypatch.setenv("MAX_JSON_BYTES", "2000000")
    settings.current.cache_clear()
    notes = [{"notes": ["x" * 5_000]}]

    assert door.post("/api/v1/batch/analyze", json={"records": notes * 300}).status_code == 202
    refused = door.post("/api/v1/batch/analyze", json={"records": notes * 450})

    assert refused.status_code == 413
    assert "MAX_JSON_BYTES" in refused.get_json()["detail"]


def test_a_job_made_through_one_contract_is_read_through_every_other(door):
    # Given a job of each contract, one of whose two records was answered
    made = door.post("/api/v1/batch/analyze", json={"records": [NOTE, NOTE]}).headers["Penstock-Job"]
    jobs = {
        "native": door.submit(2),
        "text": texts(door),
        "analyze": door.get(f"{JOBS}/{made}").get_json(),
    }
    worker = Worker()
    for name, job in jobs.items():
        analysis = {"summary": "Said.", "insights": ["i"], "next_actions": ["n"], "confidence": 0.5}
        worker.end(job, [1], answering(json.dumps(analysis) if name == "analyze" else "Said."))

        # Then counts and the answer's text are the same everywhere, and what it has not is null
        found, other = text_status(door, job["id"]), analysis_status(door, job["id"])
        assert (found["total_requests"], found["completed"], found["failed"]) == (2, 1, 0)
        assert (other["total_records"], other["completed_count"], other["failed_count"]) == (2, 1, 0)
        [item], [result] = found["results"], other["results"]
        assert (item["request_index"], result["index"]) == (1, 1)
        assert item["response"]["operation"] == ("summarize" if name == "text" else None)
        assert "Said." in item["response"]["result"]
        assert result["response"]["summary"] == "Said."
        assert result["response"]["insights"] == (["i"] if name == "analyze" else None)
        assert result["response"]["metadata"]["tokens_used"] == other["total_tokens_used"] == 15
        assert door.job(job)["counts"]["succeeded"] == 1
    listed = door.get("/api/v1/batch/jobs").get_json()["jobs"]
    assert [one["job_id"] for one in listed] == [jobs[name]["id"] for name in ("text", "native", "analyze")]
    assert door.other().get(f"/batch_status/{jobs['text']['id']}").status_code == 404
    assert door.other().get("/api/v1/batch/jobs").get_json() == {"jobs": []}


def test_every_answer_about_a_job_names_it(door):
    job = texts(door, batch_id="mine")
    for method, path in [
        ("GET", "/batch_status/mine"),
        ("GET", f"/api/v1/batch/{job['id']}/status"),
        ("GET", f"{JOBS}/{job['id']}"),
        ("GET", f"{JOBS}/mine/records"),
        ("GET", f"{JOBS}/mine/results"),
        ("PATCH", f"{JOBS}/mine"),
        ("POST", f"{JOBS}/mine/resume"),
        ("POST", f"{JOBS}/mine/cancel"),
        ("POST", f"{JOBS}/mine/pause"),
        ("DELETE", f"{JOBS}/mine"),
    ]:
        answer = door.call(method, path, **({"json": {"name": "x"}} if method == "PATCH" else {}))
        assert answer.headers["Penstock-Job"] == job["id"], path
    assert door.post_records(1).headers["Penstock-Job"]
    assert "Penstock-Job" not in door.get(JOBS).headers


def test_a_label_means_the_newest_job_of_its_tenant_and_an_id_the_job_of_that_id(door):
    # Given a label that was given twice, and one that looks like the id of another job
    first, second = texts(door, 1, batch_id="twice"), texts(door, 2, batch_id="twice")
    texts(door, 3, batch_id=first["id"])
    other = door.other()
    texts(other, 4, batch_id="twice")

    assert text_status(door, "twice")["total_requests"] == 2
    assert text_status(door, second["id"])["batch_id"] == "twice"
    assert text_status(door, first["id"])["total_requests"] == 1
    assert text_status(other, "twice")["total_requests"] == 4
    assert door.call("DELETE", f"{JOBS}/twice").status_code == 409  # of the newest, which has not ended


def test_words_and_messages_follow_the_life_of_a_job(door):
    # Given a job of three records
    job, worker = texts(door, 3), Worker()

    def words():
        found, other = text_status(door, job["id"]), analysis_status(door, job["id"])
        return found["status"], other["status"]

    assert words() in [("PENDING", "accepted"), ("IN_PROGRESS", "processing")]
    door.post(f"{JOBS}/{job['id']}/pause")
    assert words() == ("IN_PROGRESS", "processing")
    door.post(f"{JOBS}/{job['id']}/resume")

    # When one fails, one is answered and the rest is cancelled
    worker.end(job, [0], error=("server_error", "it broke"))
    worker.end(job, [1], answering("Said."))
    door.post(f"{JOBS}/{job['id']}/cancel")

    # Then it has failed, says why, and what was cancelled counts as failed
    assert words() == ("FAILED", "failed")
    found, other = text_status(door, job["id"]), analysis_status(door, job["id"])
    assert "cancelled" in found["message"]
    assert "cancelled" in other["message"]
    assert (found["completed"], found["failed"]) == (1, 2)
    assert (other["completed_count"], other["failed_count"], other["progress_percent"]) == (1, 2, 100)
    errors = [item["error"] for item in found["results"]]
    assert errors[0] == "server_error: it broke"
    assert errors[1] is None
    assert errors[2].startswith("cancelled")
    assert [item["error"] for item in other["results"]] == errors


def test_a_job_whose_content_was_removed_keeps_its_counts_and_tokens(door):
    # Given a job of which one record was answered and one failed
    job, worker = texts(door, 2), Worker()
    worker.end(job, [0], answering("Said."))
    worker.end(job, [1], error=("server_error", "it broke"))
    before = analysis_status(door, job["id"])

    # When its content is removed, as it is after some days
    in_transaction(
        lambda session: session.execute(delete(RecordOutput).where(RecordOutput.job_id == number_of(job)))
    )

    # Then what it was remains, and what is not there any more is null
    after, found = analysis_status(door, job["id"]), text_status(door, job["id"])
    assert {**after, "results": None} == {**before, "results": None, "updated_at": after["updated_at"]}
    assert after["total_tokens_used"] == 15
    assert [item["response"] for item in found["results"]] == [None, None]
    assert "removed" in found["results"][1]["error"]


def test_a_job_of_any_size_is_read_through_a_dialect_in_pieces(door):
    # Given more records than are written at once
    job, worker = door.submit(1_200), Worker()
    worker.end(job, range(0, 1_200, 2))

    for found, results in [
        (text_status(door, job["id"]), "request_index"),
        (analysis_status(door, job["id"]), "index"),
    ]:
        assert [item[results] for item in found["results"]] == list(range(0, 1_200, 2))


def test_a_key_of_the_environment_acts_for_the_first_tenant_until_it_is_gone(door, monkeypatch):
    # Given keys of the environment
    key, other = secrets.token_hex(32), secrets.token_hex(32)
    monkeypatch.setenv("API_KEYS", f"{key}, {other}")
    settings.current.cache_clear()
    one, two = ({"X-API-Key": text} for text in (key, other))

    # Then each is a user of its own of the first tenant, may read and write there, and configure batching
    mine = [door.client.get("/api/v1/me", headers=headers).get_json() for headers in (one, two)]
    assert [me["tenant"] for me in mine] == ["acme", "acme"]
    assert mine[0]["user_id"] != mine[1]["user_id"]
    assert [me["scopes"] for me in mine] == [["jobs:read", "jobs:write", "webhooks", "batching"]] * 2
    configure = partial(door.client.post, "/api/batch-processor/configure", json={"max_batch_size": 64})
    assert [configure(headers=headers).status_code for headers in (one, door.headers)] == [200, 403]
    made = door.client.post("/api/v1/batch/analyze", json={"records": [NOTE]}, headers=one)
    assert (
        door.job({"links": {"self": f"{JOBS}/{made.get_json()['job_id']}"}})["created_by"]
        == mine[0]["user_id"]
    )
    assert door.client.get("/api/v1/keys", headers=one).status_code == 403

    # And one that is gone from the list is refused from the next start on
    monkeypatch.setenv("API_KEYS", other)
    settings.current.cache_clear()
    assert door.client.get("/api/v1/me", headers=one).status_code == 401
    assert door.client.get("/api/v1/me", headers=two).status_code == 200


def test_without_required_keys_a_call_acts_for_the_first_tenant_and_a_warning_says_so(
    environment, monkeypatch, capfd
):
    # Given a Penstock without any tenant that requires no key
    monkeypatch.setenv("REQUIRE_API_KEY", "false")
    monkeypatch.setenv("DEFAULT_MODEL", "simulated")
    settings.current.cache_clear()
    from app.factory import create_app

    client = create_app().test_client()

    # Then calls without one are taken, one with a wrong key is not, and the start warned of it
    assert client.post("/api/v1/batch/analyze", json={"records": [NOTE]}).status_code == 202
    assert len(client.get("/api/v1/batch/jobs").get_json()["jobs"]) == 1
    me = client.get("/api/v1/me").get_json()
    assert (me["tenant"], me["user_id"]) == ("default", "anonymous")
    assert client.get("/api/v1/me", headers={"X-API-Key": "wrong"}).status_code == 401
    assert client.get("/api/v1/keys").status_code == 403
    assert "REQUIRE_API_KEY=false" in capfd.readouterr().err


def test_pages_of_named_origins_may_call_and_read_headers_and_no_others_may(environment, monkeypatch):
    # Given one origin that is let in
    monkeypatch.setenv("CORS_ORIGINS", "https://app.example.com")
    settings.current.cache_clear()
    door = Door()
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}

    # When a browser asks whether a page may call, and then calls
    ours, theirs = {"Origin": "https://app.example.com"}, {"Origin": "https://evil.example.com"}
    asked = door.client.options("/batch_process", headers={**ours, **asks})
    called = door.get("/batch_status/none", headers=ours)

    # Then it may, without a key for the question, and reads our headers even beside an error
    assert asked.status_code == 200
    for answer in (asked, called):
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "x-api-key" in asked.headers["Access-Control-Allow-Headers"].lower()
    assert "Penstock-Job" in called.headers["Access-Control-Expose-Headers"]
    refused = door.client.options("/batch_process", headers={**theirs, **asks})
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert "Access-Control-Allow-Origin" not in door.get("/health", headers=theirs).headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com.evil.net",
        "https://appxexample.com",
        "https://evil.net/?https://app.example.com",
        "http://1:3000",
        "null",
    ],
)
def test_an_origin_is_compared_whole_and_not_as_a_pattern(environment, monkeypatch, origin):
    monkeypatch.setenv("CORS_ORIGINS", "https://app.example.com,http://[::1]:3000")
    settings.current.cache_clear()
    client = Door().client

    for ours in ("https://app.example.com", "http://[::1]:3000"):
        answer = client.get("/health", headers={"Origin": ours})
        assert answer.headers["Access-Control-Allow-Origin"] == ours
        assert answer.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Origin" not in client.get("/health", headers={"Origin": origin}).headers


def test_a_default_model_without_a_key_is_the_callers_to_change_and_says_how(door, monkeypatch):
    # Given the settings as shipped
    monkeypatch.delenv("DEFAULT_MODEL")
    settings.current.cache_clear()
    by_default, sheet = "set DEFAULT_MODEL=simulated there", (BytesIO(b"question\nWhy?\n"), "questions.csv")
    for path, request, status, ways in [
        (JOBS, {"json": {"records": [{"prompt": "x"}]}}, 422, f"give 'simulated' as `model` or {by_default}"),
        ("/batch_process", {"json": {"requests": [TEXT]}}, 422, f"without one, {by_default}"),
        ("/api/v1/batch/analyze", {"json": {"records": [NOTE]}}, 422, f"without one, {by_default}"),
        ("/api/v1/analyze", {"json": NOTE}, 422, f"without one, {by_default}"),
        (
            "/api/v1/batch/jobs",
            {"json": document(door, b"some text") | {"prompt": "x"}},
            422,
            f"give 'simulated' as `model` or {by_default}",
        ),
        (
            "/api/batch-processor/submit",
            {"json": {"data": [{"prompt": "x"}]}},
            422,
            f"give 'simulated' as `metadata.model_id` or {by_default}",
        ),
        ("/api/batch/create", {"data": {"file": sheet}}, 400, f"'simulated' as `aiProvider` or {by_default}"),
    ]:
        answer = door.post(path, **request)

        # Then what was asked, what is missing and each way out are said, and trying again is not invited
        assert answer.status_code == status, path
        assert "Retry-After" not in answer.headers
        told = next(text for text in strings(answer.get_json()) if "ANTHROPIC_API_KEY" in text)
        assert told.startswith("model 'claude-haiku-4-5' needs a key: set ANTHROPIC_API_KEY where Penstock ")
        assert ways in told, path
    assert door.get(JOBS).get_json()["data"] == []


def test_a_model_that_is_named_and_has_no_key_has_other_ways_out_than_the_default(door):
    body = {"model": "claude-opus-4-5", "records": [{"prompt": "x"}]}
    native = door.post(JOBS, json=body).get_json()["error"]
    documents = document(door, b"some text") | {"prompt": "x", "model": "claude-opus-4-5"}
    [error] = door.post("/api/v1/batch/jobs", json=documents).get_json()["detail"]

    assert native["message"].endswith("without one, give 'simulated' as `model`")
    assert native["details"]["problems"] == [{"where": "model", "message": native["message"]}]
    assert error == {"loc": ["body", "model"], "msg": native["message"], "type": "value_error"}


def strings(content):
    """Every string in a JSON value."""
    if isinstance(content, str):
        return [content]
    parts = content.values() if isinstance(content, dict) else content if isinstance(content, list) else []
    return [text for part in parts for text in strings(part)]


def test_a_submission_through_any_contract_is_found_again_by_its_key_or_as_a_retry(door):
    for path, body, other in [
        ("/batch_process", {"requests": [TEXT]}, {"requests": [TEXT] * 2}),
        ("/api/v1/batch/analyze", {"records": [NOTE]}, {"records": [NOTE] * 2}),
        ("/api/v1/batch/jobs", document(door, b"some text"), document(door, b"other text")),
        ("/api/batch-processor/submit", {"data": [{"prompt": "x"}]}, {"data": [{"prompt": "y"}]}),
    ]:
        for first, again in [
            ({"Idempotency-Key": f"k{path}"}, {"Idempotency-Key": f"k{path}"}),
            ({"X-Stainless-Retry-Count": "0"}, {"X-Stainless-Retry-Count": "1"}),
        ]:
            made = sent(door, path, body, first)

            assert sent(door, path, body, again) == made, path
            assert sent(door, path, body, {}) != made
        refused = door.post(path, json=other, headers={"Idempotency-Key": f"k{path}"})
        assert refused.status_code == 422, path


def test_a_submission_whose_job_was_deleted_is_not_found_again_by_its_key(door):
    sheet = b"question\nWhy?\n"
    for path, body in [
        (JOBS, lambda: {"json": {"model": "simulated", "records": [{"prompt": "x"}]}}),
        ("/batch_process", lambda: {"json": {"requests": [TEXT]}}),
        ("/api/v1/batch/analyze", lambda: {"json": {"records": [NOTE]}}),
        ("/api/v1/batch/jobs", lambda: {"json": document(door, b"some text")}),
        ("/api/batch-processor/submit", lambda: {"json": {"data": [{"prompt": "x"}]}}),
        ("/api/batch/create", lambda: {"data": {"file": (BytesIO(sheet), "questions.csv")}}),
    ]:
        # Given a submission with a key, whose job was cancelled and deleted
        headers = {"Idempotency-Key": f"deleted{path}", "Prefer": "respond-async"}
        job = door.post(path, headers=headers, **body()).headers["Penstock-Job"]
        assert door.post(f"{JOBS}/{job}/cancel").status_code == 200
        assert door.call("DELETE", f"{JOBS}/{job}").status_code == 204

        # Then the same again says so, and is neither a new job nor one that is there
        again = door.post(path, headers=headers, **body())
        assert again.status_code == 409, f"{path}: {again.text}"
        assert "deleted" in again.text


def document(door, content):
    document = {"content": base64.b64encode(content).decode(), "filename": "a.txt"}
    return {"tenant_id": door.get("/api/v1/me").get_json()["tenant_id"], "documents": [document]}


def sent(door, path, body, headers):
    answer = door.post(path, json=body, headers={"Prefer": "respond-async", **headers})
    assert answer.status_code in (200, 202), answer.text
    return answer.headers["Penstock-Job"]
