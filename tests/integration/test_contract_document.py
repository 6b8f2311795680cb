"""What the OpenAPI document says of bodies, files and refusals, and that it is so."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest
from werkzeug.test import TestResponse

from app.core.accounts.api_keys import SCOPES
from app.core.reading.job_json import PREFIX
from config import settings
from tasks import advance
from tests.conftest import penstock_of_its_own
from tests.support.contract_document import JSON, Operation, operations, whole
from tests.support.front_door import JOBS, Door, Worker, number_of

BATCHES = "/api/batch-processor"
OF_ROWS = ("job_id", "batch_id", "key_id", "webhook_id", "endpoint_id", "delivery_id")
NAMES = dict.fromkeys(OF_ROWS, "x") | {"group": "simulated", "name": "chat"}


@pytest.fixture(scope="module")
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("document")
    more = {"DEFAULT_MODEL": "simulated", "MAX_QUEUE_SIZE": "5"}
    with penstock_of_its_own("sqlite", request, folder, **more):
        yield Door(scopes=SCOPES)
    settings.current.cache_clear()


@pytest.fixture(scope="module")
def document(door: Door) -> Any:
    return door.get(f"{PREFIX}/openapi.json").get_json()


@pytest.fixture(scope="module")
def contract(document: Any) -> Mapping[str, Operation]:
    return {str(operation): operation for operation in operations(document)}


def fits(document: Any, operation: Operation, answer: TestResponse) -> None:
    """Raises unless the document has this status, type and content for the operation."""
    content = whole(document, operation.responses[str(answer.status_code)])["content"]
    assert set(content) >= {answer.mimetype}
    jsonschema_rs.validate(content[answer.mimetype]["schema"], answer.get_json())


def test_a_json_body_is_required_where_the_document_requires_it(door, document, contract):
    taken = []
    for operation in contract.values():
        needs_none = operation.method == "DELETE" or operation.path.endswith(("/cancel", "/retry"))
        if operation.media_type == JSON and not needs_none:
            path, _ = operation.request(NAMES)
            for body in ({}, {"data": b"{}"}, {"data": b"{}", "content_type": "text/plain"}):
                answer = door.call(operation.method, path, **body)
                if answer.status_code != 415:
                    taken.append(f"{operation} with {body}: {answer.status_code}")
                else:
                    fits(document, operation, answer)

    assert taken == []


def test_a_body_that_is_too_large_is_refused_as_documented(door, document, contract):
    large = b'{"name": "' + b"x" * 17_000_000 + b'"}'
    for name in (
        "PATCH /api/v1/jobs/{job_id}",
        "POST /api/v1/keys",
        f"POST {BATCHES}/submit",
        "POST /api/v1/jobs",
    ):
        path, _ = contract[name].request(NAMES)
        answer = door.call(contract[name].method, path, data=large, content_type=JSON)

        assert answer.status_code == 413, name
        fits(document, contract[name], answer)


def test_the_route_beside_a_job_allows_its_own_methods_only(door):
    for method in ("GET", "PATCH", "DELETE", "PUT"):
        answer = door.call(method, f"{JOBS}/estimate")

        assert answer.status_code == 405
        assert set(re.split(", *", answer.headers["Allow"])) == {"POST", "OPTIONS"}
    assert door.get(f"{JOBS}/estimated").status_code == 404


def test_the_types_of_files_are_documented_and_said_once(door, document, contract):
    job = door.submit(1)
    for name, path, formats in [
        (
            "GET /api/v1/jobs/{job_id}/results",
            f"{JOBS}/{job['id']}/results?",
            ("jsonl", "csv", "tsv", "xlsx", "json", "parquet"),
        ),
        ("GET /api/batch/results", f"/api/batch/results?batchId={job['id']}&", ("json", "csv", "xlsx")),
    ]:
        types = {}
        for format in formats:
            with door.get(f"{path}format={format}") as answer:
                types[format] = answer.headers["Content-Type"]
        assert types["csv"] == "text/csv; charset=utf-8"
        assert {one.partition(";")[0] for one in types.values()} == set(
            contract[name].responses["200"]["content"]
        )


def test_refusals_of_every_contract_have_the_shape_that_is_documented(door, document, contract):
    # Given a batch that has ended, and one of more items than may wait
    batch = {"data": [{"prompt": "x"}], "batch_id": "one"}
    made = door.post(f"{BATCHES}/submit", json=batch)
    assert made.status_code == 200
    job = {"id": made.headers["Penstock-Job"]}
    Worker().end(job, [0])
    advance.run(number_of(job))
    many = {"data": [{"prompt": "x"}] * 6}

    # Then each refusal is as documented
    for name, path, status, body in [
        (f"POST {BATCHES}/submit", f"{BATCHES}/submit", 429, many),
        (f"POST {BATCHES}/submit", f"{BATCHES}/submit", 422, {"data": [{}]}),
        (f"DELETE {BATCHES}/cancel/{{batch_id}}", f"{BATCHES}/cancel/one", 409, None),
        (f"GET {BATCHES}/status/{{batch_id}}", f"{BATCHES}/status/none", 404, None),
        ("GET /api/v1/batch/jobs/{job_id}", "/api/v1/batch/jobs/x", 422, None),
        ("POST /api/v1/batch/jobs", "/api/v1/batch/jobs", 422, {"documents": []}),
        ("GET /api/batch/status", "/api/batch/status", 400, None),
        ("GET /batch_status/{batch_id}", "/batch_status/none", 404, None),
        ("POST /api/v1/batch/analyze", "/api/v1/batch/analyze", 422, {"records": []}),
        ("GET /api/v1/jobs", "/api/v1/jobs?cursor=!", 422, None),
    ]:
        answer = door.call(contract[name].method, path, **({} if body is None else {"json": body}))

        assert answer.status_code == status, f"{name}: {answer.text}"
        fits(document, contract[name], answer)


def test_a_number_or_a_truth_is_not_its_digits(door):
    for change in ({"enable_dynamic_batching": 1}, {"priority_weights": {"low": "0.5"}}):
        assert door.post(f"{BATCHES}/configure", json=change).status_code == 422


def test_patterns_and_encodings_are_those_of_json_schema(document):
    schemas = document["components"]["schemas"]

    assert "\\\\Z" not in json.dumps(schemas)
    assert schemas["ProcessorBatchIn"]["properties"]["batch_id"]["pattern"] == "^[A-Za-z0-9._:-]{1,128}$"
    for name in ("DocumentIn", "DocumentsDocumentIn"):
        content = schemas[name]["properties"]["content"]
        assert content["contentEncoding"] == "base64"
