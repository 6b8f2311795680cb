"""What no contract knows: ignored and named in the response by four of them, and refused by the others."""

import base64

import pytest

from config import settings
from tests.support.front_door import JOBS, Door

pytestmark = pytest.mark.one_database

IGNORED = "Penstock-Ignored"
ASYNC = {"Prefer": "respond-async"}
CONFIGURE = "/api/batch-processor/configure"
TEXT = {"text": "A text that is long enough.", "operation": "summarize"}
RECORD = {"notes": ["Something happened."], "structured_data": {"data": {"colour": "red"}}}
DOCUMENT = {"filename": "a.txt", "content": base64.b64encode(b"a").decode(), "metadata": {"colour": "red"}}


@pytest.fixture
def door(environment, monkeypatch):
    monkeypatch.setenv("DEFAULT_MODEL", "simulated")
    monkeypatch.setenv("CORS_ORIGINS", "https://app.example.com")
    settings.current.cache_clear()
    return Door()


def test_unknown_fields_are_ignored_and_named_whatever_their_depth(door):
    tenant = door.get("/api/v1/me").get_json()["tenant_id"]
    record = RECORD | {"structured_data": {**RECORD["structured_data"], "unit": "kg"}, "trace": 1}
    for path, body, names in [
        (
            "/batch_process",
            {"requests": [TEXT, TEXT | {"x": 1}, TEXT | {"x": 2}], "trace": 1},
            "trace, requests[].x",
        ),
        (
            "/api/v1/batch/jobs",
            {"tenant_id": tenant, "documents": [DOCUMENT, DOCUMENT | {"trace": {}}], "owner": "x"},
            "owner, documents[].trace",
        ),
        (
            "/api/v1/batch/analyze",
            {"records": [RECORD, record], "trace": 1},
            "trace, records[].trace, records[].structured_data.unit",
        ),
        (
            "/api/batch-processor/submit",
            {"data": [{"prompt": "x", "speed": 1}, {"prompt": "y"}], "colour": "red"},
            "colour, data[].speed",
        ),
    ]:
        answer = door.post(path, json=body, headers=ASYNC)

        assert answer.status_code in (200, 202), answer.text
        assert answer.headers[IGNORED] == names


def test_a_refusal_names_them_too_and_a_page_of_another_origin_can_read_them(door):
    body = {"requests": [{"txt": "A text.", "operation": "summarize"}]}
    refused = door.post("/batch_process", json=body, headers={"Origin": "https://app.example.com"})

    assert refused.status_code == 422
    assert refused.headers[IGNORED] == "requests[].txt"
    assert IGNORED in refused.headers["Access-Control-Expose-Headers"]


def test_what_is_ignored_makes_no_other_submission(door):
    made = [
        door.post(
            "/api/v1/batch/analyze",
            json={"records": [RECORD], **more},
            headers={"Idempotency-Key": "one"},
        )
        for more in ({"trace": 1}, {"trace": 2}, {})
    ]

    assert len({answer.headers["Penstock-Job"] for answer in made}) == 1
    assert [answer.headers.get(IGNORED) for answer in made] == ["trace", "trace", None]


def test_unknown_parameters_of_a_query_are_ignored_and_named(door):
    for path in ("/api/v1/batch/jobs", "/api/batch-processor/batches", "/api/batch-processor/analytics"):
        answer = door.get(f"{path}?_=1&limt=3")

        assert answer.status_code == 200, answer.text
        assert answer.headers[IGNORED] == "?_, ?limt"


def test_the_other_contracts_refuse_them(door):
    for method, path, body in [
        ("POST", JOBS, {"model": "simulated", "records": [{"prompt": "x"}], "colour": "red"}),
        ("POST", CONFIGURE, {"max_batch_size": 4, "colour": "red"}),
        ("GET", f"{JOBS}?colour=red", None),
    ]:
        refused = door.call(method, path, **({} if body is None else {"json": body}))

        assert refused.status_code in (403, 422), refused.text
        assert IGNORED not in refused.headers
