"""Every example of the OpenAPI document, sent as it stands."""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest

from app.core.accounts.api_keys import SCOPES
from app.web.openapi import FORM, JSON
from config import settings
from tests.support.front_door import Door
from tests.support.furnished_tenant import WEBHOOK

pytestmark = pytest.mark.one_database

# It names a batch that must be there, or is about records that must have failed.
WITHOUT = {
    ("/api/batch/cancel", "post"),
    ("/api/batch/cancel", "delete"),
    ("/api/v1/jobs/{job_id}/retry", "post"),
    # They send to the server of the example.
    ("/api/v1/webhooks/{webhook_id}/test", "post"),
    ("/v1/webhook_endpoints/{endpoint_id}/test", "post"),
}


@pytest.fixture(scope="module")
def door(running) -> Iterator[Door]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEFAULT_MODEL", "simulated")
        settings.current.cache_clear()
        yield Door("examples", scopes=SCOPES)
    settings.current.cache_clear()


def examples(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], str, Any]]:
    """Path, method, operation, content type and example of every body."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters" or (path, method) in WITHOUT:
                continue
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
                yield path, method, {**operation, "parameters": parameters}, kind, content.get("example")


def test_every_example_of_a_body_succeeds_as_it_stands(door):
    # Given a job and an endpoint for the calls that are about one
    job, sent = door.submit(1), []
    webhook = door.post("/api/v1/webhooks", json=WEBHOOK).get_json()["id"]
    names = {"job_id": job["id"], "webhook_id": webhook, "endpoint_id": webhook}

    # When
    for path, method, operation, kind, example in examples(door.get("/openapi.json").get_json()):
        name = f"{method.upper()} {path} {kind}"
        assert example, f"{name} has no example"
        known = names | {one["name"]: one["example"] for one in operation["parameters"] if "example" in one}
        address = re.sub(r"{(\w+)}", lambda part, known=known: known[part[1]], path)
        if kind == JSON:
            answer = door.call(method.upper(), address, json=example)
        else:
            assert kind == FORM
            form = {**example, "file": (BytesIO(example["file"].encode()), "rows.csv")}
            answer = door.call(method.upper(), address, data=form, content_type=FORM)
        assert 200 <= answer.status_code < 300, f"{name}: {answer.status_code} {answer.text}"
        sent.append(name)

    # Then each contract's main calls were among them
    assert {
        "POST /api/v1/jobs application/json",
        "POST /api/v1/jobs multipart/form-data",
        "POST /api/v1/jobs/estimate application/json",
        "POST /batch_process application/json",
        "POST /api/v1/batch/analyze application/json",
        "POST /api/v1/batch/jobs application/json",
        "POST /api/batch/create multipart/form-data",
        "POST /api/batch-processor/submit application/json",
    } <= set(sent)


def test_an_unknown_field_says_where_it_belongs(door):
    for field, told in [
        ("temperature", 'put it into `params`, such as {"params": {"temperature": …}}'),
        ("max_token", "did you mean `max_tokens`?"),
        ("colour", "Unknown field."),
    ]:
        answer = door.post_records(1, **{field: 1})
        assert answer.status_code == 422
        assert told in answer.get_json()["error"]["message"]


def test_a_document_job_of_the_tenant_of_zeros_is_the_keys_own_and_of_no_other(door):
    documents = [{"filename": "note.txt", "content": "VGhpcw=="}]
    own = door.get("/api/v1/me").get_json()["tenant_id"]
    zeros = {"tenant_id": "00000000-0000-0000-0000-000000000000", "documents": documents}
    made = door.post("/api/v1/batch/jobs", json=zeros)
    assert made.get_json()["tenant_id"] == own
    other = zeros | {"tenant_id": "00000000-0000-0000-0000-000000000001"}
    assert door.post("/api/v1/batch/jobs", json=other).status_code == 404
