"""Values that fit a schema."""

import random
from typing import Any

import jsonschema_rs
import pytest

from app.providers import sample

REVIEW = {
    "type": "object",
    "properties": {
        "sentiment": {"enum": ["positive", "negative", "neutral"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "refund": {"type": "boolean"},
        "topics": {"type": "array", "items": {"type": "string", "minLength": 20}, "minItems": 2},
        "author": {
            "type": "object",
            "properties": {"name": {"type": ["string", "null"]}},
            "required": ["name"],
        },
    },
    "required": ["sentiment", "score", "stars", "refund", "topics", "author"],
    "additionalProperties": False,
}

SCHEMAS: list[dict[str, Any]] = [
    REVIEW,
    {"type": "string", "maxLength": 4},
    {"const": {"kind": "fixed"}},
    {"type": "integer", "exclusiveMinimum": 5},
    {"type": "integer", "maximum": -3},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "null"},
    {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    {"type": "array", "items": {"type": "integer"}, "maxItems": 0},
    {"$defs": {"name": {"type": "string"}}, "type": "array", "items": {"$ref": "#/$defs/name"}},
    {"properties": {"a": True}, "required": ["a", "b"]},
    {
        "$defs": {"tree": {"type": "object", "properties": {"leaf": {"$ref": "#/$defs/tree"}}}},
        "$ref": "#/$defs/tree",
    },
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_value_fits_its_schema(schema: dict[str, Any]) -> None:
    for seed in range(20):
        jsonschema_rs.validate(schema, sample.fit(schema, random.Random(seed)))


def test_the_same_chance_brings_the_same_value() -> None:
    assert sample.fit(REVIEW, random.Random("x")) == sample.fit(REVIEW, random.Random("x"))


def test_chance_brings_variety() -> None:
    assert len({sample.fit(REVIEW, random.Random(seed))["sentiment"] for seed in range(50)}) == 3


def test_a_schema_that_asks_for_too_much_is_refused_at_once() -> None:
    broad = {"type": "object", "properties": {str(number): {"$ref": "#"} for number in range(100)}}
    for schema in (
        broad,
        {"type": "array", "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "array", "minItems": 9_000, "items": {"type": "string", "minLength": 1_000_000}},
    ):
        with pytest.raises(ValueError, match="too large"):
            sample.fit(schema, random.Random(1))
