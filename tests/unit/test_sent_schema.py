"""The copy of a schema that a provider is sent."""

from typing import Any

import pytest

from app.core.requests import sent_schema
from app.errors import BadInput


@pytest.mark.parametrize(
    ("whole", "sent"),
    [
        (
            {"type": "integer", "minimum": 1, "maximum": 10, "description": "A score."},
            {"type": "integer", "description": "A score.\n\n{minimum: 1, maximum: 10}"},
        ),
        (
            {"type": "string", "maxLength": 3, "pattern": "^a", "format": "email"},
            {"type": "string", "format": "email", "description": '{maxLength: 3, pattern: "^a"}'},
        ),
        ({"type": "string", "format": "iban"}, {"type": "string", "description": '{format: "iban"}'}),
        (
            {"type": "array", "items": {"type": "number", "multipleOf": 2}, "minItems": 3},
            {
                "type": "array",
                "items": {"type": "number", "description": "{multipleOf: 2}"},
                "description": "{minItems: 3}",
            },
        ),
        ({"type": "array", "minItems": 1}, {"type": "array", "minItems": 1}),
        ({"type": "array", "items": False}, {"type": "array", "description": "{items: false}"}),
        (
            {"properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
            {
                "properties": {"a": {"type": "string"}, "b": {}},
                "required": ["a", "b"],
                "additionalProperties": False,
            },
        ),
        (
            {"oneOf": [{"type": "string", "minLength": 1}, {"type": "null"}]},
            {"anyOf": [{"type": "string", "description": "{minLength: 1}"}, {"type": "null"}]},
        ),
        (
            {"$schema": "x", "properties": {"maximum": {"const": 1}}, "additionalProperties": True},
            {"properties": {"maximum": {"const": 1}}, "additionalProperties": False},
        ),
        (
            {"$ref": "#/$defs/a", "title": "A", "$defs": {"a": {"enum": ["x", 1]}}},
            {"$ref": "#/$defs/a", "$defs": {"a": {"enum": ["x", 1]}}},
        ),
        ({"enum": [[1], 2]}, {"description": "{enum: [[1], 2]}"}),
        ({"type": ["object", "null"]}, {"type": ["object", "null"], "additionalProperties": False}),
        ({"type": "array", "items": True}, {"type": "array", "items": {}}),
    ],
)
def test_what_it_does_not_know_is_put_into_words(whole: dict[str, Any], sent: dict[str, Any]) -> None:
    assert sent_schema.of(whole) == sent


def test_what_it_knows_is_sent_as_it_is() -> None:
    known = {
        "type": "object",
        "title": "T",
        "properties": {"a": {"type": "string", "enum": ["x"], "format": "date"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert sent_schema.of(known) == known


def test_constraints_of_any_length_make_a_short_description() -> None:
    sent = sent_schema.of({"type": "string", "pattern": "a" * 100_000})
    assert len(sent["description"]) < sent_schema.LONGEST + 10


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "object", "additionalProperties": {"type": "number"}}, "schema: additionalProperties"),
        (
            {"properties": {"a": {"items": {"patternProperties": {"^x": {"type": "number"}}}}}},
            "schema/properties/a/items: patternProperties",
        ),
        (
            {"anyOf": [{"type": "null"}, {"type": "object", "additionalProperties": {"type": "null"}}]},
            "schema/anyOf/1: additionalProperties",
        ),
    ],
)
def test_an_object_that_could_only_be_empty_is_refused(schema: dict[str, Any], place: str) -> None:
    with pytest.raises(BadInput, match=place):
        sent_schema.refuse_open(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "number"}},
        {"type": "object", "additionalProperties": False},
        {"type": "object"},
        {"type": "array", "items": {"type": "string"}, "additionalProperties": {"type": "number"}},
    ],
)
def test_an_object_with_names_is_not_refused(schema: dict[str, Any]) -> None:
    sent_schema.refuse_open(schema)


def test_what_else_an_object_with_names_may_have_is_named_where_it_is_not_sent() -> None:
    open_one = {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "number"}}
    whole = {"properties": {"list": {"items": open_one}}, "additionalProperties": False}
    assert sent_schema.unsent(whole) == ["schema/properties/list/items/additionalProperties"]
    assert sent_schema.unsent({"type": "object", "properties": {"a": {}}, "additionalProperties": True}) == []
