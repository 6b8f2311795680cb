"""The copy of a schema that a provider is sent."""

from typing import Any

import pytest

from app.core.requests import sent_schema


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
