"""What the OpenAPI document says beyond what flask-smorest and apispec read from routes and schemas."""

import http
import re
from collections.abc import Callable, Mapping
from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import fields

KEYWORDS = ("contentEncoding", "contentMediaType")  # of JSON Schema, in a field's metadata
CONTENT = "contentSchema"  # the same, but a list of schemas: the text is the JSON of one of them
END = r"\Z"  # of a text, for Python
OTHERS = "Another team's contract."  # how the description of a contract begins that is not the native one
JSON, FORM = "application/json", "multipart/form-data"
# What the native contract answers, by status: the type and a sentence.
ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "the body is not valid HTTP: send it as it was"),
    401: ("unauthenticated", "the request has no API key: send it as `X-API-Key: pk_…`"),
    403: ("forbidden", "this call needs a key with the scope 'operator'; the key pk_example has jobs:read"),
    404: ("not_found", "there is no job 'nightly': GET /api/v1/jobs lists them"),
    409: ("conflict", "the job is running: cancel it before you delete it"),
    410: ("gone", "the content of the job was deleted on 2026-11-22; its counts and cost are kept"),
    413: ("too_large", "the JSON has over 16,000,000 bytes (MAX_JSON_BYTES): send a JSONL file"),
    415: ("unsupported_media_type", "send JSON (application/json); found text/plain"),
    422: ("invalid_request", "records[2].prompt: give a text"),
    429: ("rate_limited", "records_per_hour is 1,000: 990 were submitted, and this adds 20"),
    503: ("unavailable", "the database is not responding properly: try again shortly"),
}
PROBLEMS = {"problems": [{"where": "records[2].prompt", "message": "give a text"}]}  # details of a 422

_CONTRACT = re.compile(r"app\.dialects\.(\w+)\.")
_STATUSES = {status.phrase: status.value for status in http.HTTPStatus}


def request_body(*kinds: tuple[str, Any, Any]) -> dict[str, Any]:
    """A body for an operation's document: the content type, the schema and an example of each kind of it.

    Examples succeed as they stand, with DEFAULT_MODEL=simulated where they cannot name a model. The example
    of a form has the content of a CSV file as its `file`.
    """
    content = {kind: {"schema": schema, "example": example} for kind, schema, example in kinds}
    return {"required": True, "content": content}


def operation_id(view: Callable[..., Any]) -> str:
    """The view's name, behind that of its contract unless it is the native one."""
    contract = _CONTRACT.match(view.__module__)
    return f"{contract[1]}_{view.__name__}" if contract else view.__name__


class Converter(OpenAPIConverter):
    """Writes `Meta.keywords` of a schema too, what its fields together must be in terms of JSON Schema."""

    def init_attribute_functions(self) -> None:
        super().init_attribute_functions()  # type: ignore[no-untyped-call]
        self.attribute_functions += [self.field2keywords, self.field2anchors]

    def schema2jsonschema(self, schema: Any) -> dict[str, Any]:
        found = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        return {**found, **getattr(schema.Meta, "keywords", {})}

    def field2keywords(self, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
        found = {name: field.metadata[name] for name in KEYWORDS if name in field.metadata}
        schemas = [self.resolve_nested_schema(one) for one in field.metadata.get(CONTENT, ())]  # type: ignore[no-untyped-call]
        return {**found, CONTENT: {"anyOf": schemas}} if schemas else found

    def field2anchors(self, _: fields.Field[Any], ret: dict[str, Any]) -> dict[str, str]:
        """Python matches from the start of a text, JSON Schema anywhere."""
        pattern = ret.get("pattern", "")
        return {"pattern": f"^{pattern.removesuffix(END)}$"} if pattern.endswith(END) else {}


class Plugin(MarshmallowPlugin):
    """Schemas as above, an example for each error of the native contract, an id of its own for each
    operation.
    """

    Converter = Converter

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._ids: set[str] = set()

    def response_helper(self, response: dict[str, Any], **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().response_helper(response, **options)  # type: ignore[no-untyped-call]
        status = _STATUSES.get(found.get("description", ""), 0)
        if status in ERRORS and JSON in found.get("content", {}):
            found["content"][JSON].setdefault("example", _error(status))
        return found

    def operation_helper(
        self, path: str | None = None, operations: dict[str, Any] | None = None, **options: Any
    ) -> None:
        """A view that answers several methods or paths has one id for each: the later ones say which."""
        super().operation_helper(path=path, operations=operations, **options)
        names = [operation["operationId"] for operation in (operations or {}).values()]
        for method, operation in (operations or {}).items():
            name = operation["operationId"]
            if names.count(name) > 1 and method != "post":
                name = f"{name}_by_{method}"
            operation["operationId"] = name if name not in self._ids else f"{name}_at_root"
            self._ids.add(operation["operationId"])


def _error(status: int) -> dict[str, Any]:
    kind, message = ERRORS[status]
    details = PROBLEMS if status == 422 else {}
    return {"error": {"type": kind, "message": message, "details": details, "request_id": "req_5e0c1a…"}}
