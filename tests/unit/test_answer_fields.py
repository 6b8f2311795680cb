"""Fields that a person lists become a schema that every answer is asked and checked with."""

import json

import pytest

from app.core.requests.answer_fields import schema_of
from app.core.requests.schemas import AnswerSchema, compile_schema
from app.core.requests.sent_schema import refuse_open, unsent
from app.errors import BadInput

KINDS = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "Integer": {"type": "integer"},
    "1..5": {"type": "integer", "minimum": 1, "maximum": 5},
    "-0.5 .. 0.5": {"type": "number", "minimum": -0.5, "maximum": 0.5},
    "yes/no": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "good | so-so": {"type": "string", "enum": ["good", "so-so"]},
    "list of text": {"type": "array", "items": {"type": "string"}},
    "list of a | b": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
    "text?": {"type": ["string", "null"]},
    "a | b?": {"type": ["string", "null"], "enum": ["a", "b", None]},
    "1..5 # how happy: 5 is #1": {
        "type": "integer",
        "minimum": 1,
        "maximum": 5,
        "description": "how happy: 5 is #1",
    },
}


@pytest.mark.parametrize(("kind", "asked"), KINDS.items())
def test_every_kind_is_a_schema_that_is_taken(kind, asked):
    schema = schema_of([f"a name : {kind}", "other?: text"])

    assert schema is not None
    compile_schema(schema)
    refuse_open(schema)
    assert unsent(schema) == []
    assert schema["properties"]["a name"] == asked
    assert schema["required"] == ([] if "?" in kind else ["a name"])
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ("", "give `name: kind`"),
        ("name", "give `name: kind`"),
        (": text", "give it a name"),
        ("x" * 101 + ": text", "up to 100 characters"),
        ("first: text", "another field is called"),
        ("b: string", "not a kind: give one of text, number"),
        ("b: a |", "a choice is empty"),
        ("b: a | a", "listed twice"),
        ("b: 5..1", "nothing in it"),
        ("b: list of list of text", "give a schema"),
        ("b: text # " + "x" * 1_001, "description"),
    ],
)
def test_a_field_that_cannot_be_asked_is_named(field, fault):
    with pytest.raises(BadInput, match=f"field 2: .*{fault}"):
        schema_of(["first: text", field])


def test_a_date_that_does_not_exist_does_not_fit():
    schema = schema_of(["due: date"])
    assert schema is not None
    assert schema_of([]) is None

    assert AnswerSchema(schema).check(json.dumps({"due": "2026-02-28"})).fault is None
    assert "2026-02-31" in (AnswerSchema(schema).check(json.dumps({"due": "2026-02-31"})).fault or "")
