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
