"""The OpenAPI document says what every operation answers: made from it, so that a new route is in it."""

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from app.core.reading.job_json import PREFIX
from app.factory import create_app
from app.web.error_shapes import Fault
from app.web.errors import SHAPES, shape_for
from app.web.results.downloads import TYPES
from config import settings
from tests.support.contract_document import JSON, Operation, operations, whole

EVENTS = "text/event-stream"
BATCH_RESULTS = "application/x-jsonl"
BYTES = "application/octet-stream"
STREAMED = ("/v1/messages", "/v1/chat/completions", "/v1/responses")  # if their bodies ask for it
PROBLEM = {"where": "requests[0].text", "message": "give a text"}
Json = dict[str, Any]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Json]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PENSTOCK_DATA", str(tmp_path_factory.mktemp("data")))
        settings.current.cache_clear()
        yield create_app().test_client().get(f"{PREFIX}/openapi.json").get_json()
    settings.current.cache_clear()


def test_every_answer_has_a_schema_that_says_what_is_in_it(document: Json) -> None:
    assert undescribed(document) == []


def test_every_error_has_the_shape_of_its_path(document: Json) -> None:
    assert misshapen(document) == []


def test_every_file_and_every_stream_names_its_content_types(document: Json) -> None:
    assert untyped(document) == []


def test_what_the_document_leaves_out_is_found(document: Json) -> None:
    broken = copy.deepcopy(document)
    paths, schemas = broken["paths"], broken["components"]["schemas"]
    schemas["JobOut"]["properties"]["metadata"] = {}
    schemas["DocumentsProgressOut"]["required"] = []
    paths["/batch_status/{batch_id}"]["get"]["responses"]["200"].pop("content")
    paths["/batch_process"]["post"]["responses"]["422"] = paths["/api/batch/list"]["get"]["responses"]["401"]
    del paths["/api/batch/results"]["get"]["responses"]["200"]["content"]["text/csv"]

    found = undescribed(broken)
    assert "GET /batch_status/{batch_id} 200: no content" in found
    assert "GET /api/v1/jobs/{job_id} 200: metadata: no type" in found
    assert "GET /api/v1/batch/jobs/{job_id}/stream 200: data: no field is required" in found
    assert sorted({one.partition(":")[0] for one in misshapen(broken)}) == ["POST /batch_process 422"]
    assert [one.partition(":")[0] for one in untyped(broken)] == ["GET /api/batch/results"]


def undescribed(document: Json) -> list[str]:
    """Answers, and fields of them, of which the document does not say what they are."""
    return [
        f"{operation} {status}: {gap}"
        for operation in operations(document)
        for status, response in _responses(document, operation)
        if status.startswith("2") and status != "204"
        for gap in _gaps_of(response)
    ]


def misshapen(document: Json) -> list[str]:
    """Errors whose schema does not fit what the contract of their path answers."""
    found = []
    for operation in operations(document):
        shape = shape_for(operation.path, SHAPES)
        for status, response in _responses(document, operation):
            if not status.startswith("2"):
                schema = response.get("content", {}).get(JSON, {}).get("schema", False)
                errors = jsonschema_rs.iter_errors(schema, shape(_fault(status)))
                found += [f"{operation} {status}: {error.message}" for error in errors]
    return found


def untyped(document: Json) -> list[str]:
    """Files and streams whose answers have other content types than their operations offer."""
    found = []
    for operation in operations(document):
        offered = {TYPES.get(format, JSON) for format in _formats(operation)}
        offered |= {BATCH_RESULTS} if operation.path.endswith("/batches/{batch_id}/results") else set()
        offered |= {EVENTS} if operation.path.endswith(("/events", "/stream")) else set()
        offered |= {BYTES} if operation.path.endswith("/content") else set()
        offered |= {JSON, EVENTS} if operation.path in STREAMED else set()
        said = set(whole(document, operation.responses.get("200", {})).get("content", {}))
        if said - {JSON} != offered - {JSON} or (JSON in offered) > (JSON in said):
            found.append(f"{operation}: offers {sorted(offered)}, says {sorted(said)}")
    return found


def _responses(document: Json, operation: Operation) -> Iterator[tuple[str, Json]]:
    for status, response in operation.responses.items():
        yield status, whole(document, response)


def _gaps_of(response: Json) -> Iterator[str]:
    if not response.get("content"):
        yield "no content"
    for kind, content in response.get("content", {}).items():
        yield from _gaps(content.get("schema", {}), kind)


def _gaps(schema: Json, name: str) -> Iterator[str]:
    """What is missing in the schema of the field `name`."""
    parts = [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]
    for part in parts:
        yield from _gaps(part, name)
    if "contentSchema" in schema:
        yield from _gaps(schema["contentSchema"], name)
    for inner, part in schema.get("properties", {}).items():
        yield from _gaps(part, inner)
    if not schema.keys() & {"type", "anyOf", "enum", "description"}:
        yield f"{name}: no type"
    if "properties" in schema and not (schema.get("required") or schema.get("minProperties")):
        yield f"{name}: no field is required"


def _fault(status: str) -> Fault:
    """An error as a contract gets it to write."""
    if status == "422":
        path = ("body", "requests", 0, "text")
        return Fault(422, "invalid_request", "x", "r", {"problems": [PROBLEM]}, [path])
    if status == "default":
        return Fault(500, "internal_error", "x", "r", error_id="e")
    return Fault(int(status), "bad_request", "x", "r")


def _formats(operation: Operation) -> list[str]:
    named = (one for one in operation.parameters if one["name"] == "format")
    return [format for one in named for format in one["schema"].get("enum", ())]
