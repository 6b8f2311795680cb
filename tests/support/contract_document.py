"""The OpenAPI document as a caller reads it: its operations, who may call each, and what each is sent."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")
JSON = "application/json"
FORM = "multipart/form-data"

Json = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """`scopes`: the key needs all of them; None: it needs no key."""

    method: str
    path: str
    scopes: Sequence[str] | None
    parameters: Sequence[Json]
    body: Json | None  # the schema of what it is sent
    media_type: str | None
    responses: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def names(self, known: Mapping[str, str]) -> set[str]:
        """What a request names of `known`: in its path, its query or its body's required fields."""
        inside = {one["name"] for one in self.parameters if one["in"] in ("path", "query")}
        return (inside | set((self.body or {}).get("required", ()))) & known.keys()

    def request(self, known: Mapping[str, str]) -> tuple[str, Json]:
        """The smallest request that the document allows, with the values of `known`, as `open` takes it."""
        path = re.sub(r"{(\w+)}", lambda name: self._known(name[1], known), self.path)
        query = {
            one["name"]: known[one["name"]]
            for one in self.parameters
            if one["in"] == "query" and one["name"] in known
        }
        if self.media_type is None or self.body is None:
            return path, {"query_string": query}
        content = smallest(self.body, known)
        if self.media_type == JSON:
            return path, {"query_string": query, "json": content}
        return path, {"query_string": query, "data": content, "content_type": FORM}

    def _known(self, name: str, known: Mapping[str, str]) -> str:
        if name not in known:
            raise LookupError(
                f"{self}: nobody knows what to send as {name!r}: add a value that the furnished tenant has to"
                " NAMES in tests/integration/test_tenancy_matrix.py"
            )
        return known[name]


def operations(document: Json) -> Iterator[Operation]:
    """Each operation of an OpenAPI document; references are followed."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield _operation(document, path, method, item)


def _operation(document: Json, path: str, method: str, item: Json) -> Operation:
    found = item[method]
    security = found["security"]
    [*kinds] = {tuple(sorted(scopes)) for way in security for scopes in way.values()}
    assert len(kinds) == (1 if security else 0), f"{method} {path} needs one scope in each way to send a key"
    content = found.get("requestBody", {}).get("content", {})
    media_type = next(iter(content), None)
    return Operation(
        method=method.upper(),
        path=path,
        scopes=kinds[0] if kinds else None,
        parameters=[*item.get("parameters", ()), *found.get("parameters", ())],
        body=None if media_type is None else whole(document, content[media_type]["schema"]),
        media_type=media_type,
        responses=found["responses"],
    )


def documented_path(rule: str) -> str:
    """The path of a route, as the document has it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def whole(document: Json, schema: Any) -> Any:
    """`schema` with what it refers to in place of its references; none of ours refers to itself."""
    if isinstance(schema, list):
        return [whole(document, part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return whole(document, target)
    return {name: whole(document, part) for name, part in schema.items()}


def smallest(schema: Json, known: Mapping[str, str]) -> Any:
    """The smallest value of `schema`; a field whose name is in `known` has its value."""
    if "example" in schema:
        return schema["example"]
    if "enum" in schema:
        return schema["enum"][0]
    kinds = schema.get("type", "object")
    return _SMALLEST[kinds if isinstance(kinds, str) else kinds[0]](schema, known)


def _object(schema: Json, known: Mapping[str, str]) -> Json:
    required = schema.get("required", ())
    return {name: known.get(name) or smallest(schema["properties"][name], known) for name in required}


def _string(schema: Json, _: Mapping[str, str]) -> Any:
    if schema.get("format") == "binary":
        return BytesIO(b"question\nWhy?\n"), "questions.csv"
    if schema.get("contentEncoding") == "base64":
        return "eA=="
    return "x" * max(1, schema.get("minLength", 1))


_SMALLEST: Mapping[str, Callable[[Json, Mapping[str, str]], Any]] = {
    "object": _object,
    "array": lambda schema, known: [smallest(schema["items"], known)] * max(1, schema.get("minItems", 1)),
    "string": _string,
    "integer": lambda schema, _: schema.get("minimum", 1),
    "number": lambda schema, _: schema.get("minimum", 1),
    "boolean": lambda *_: False,
}
