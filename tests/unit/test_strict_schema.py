"""A schema for a provider that wants every property: what may be left out is null, and read back so."""

import json

import pytest

from app.core.requests import strict_schema
from app.core.requests.schemas import AnswerSchema
from app.providers import openai_requests

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "due": {"type": "string", "format": "date"},
        "mood": {"type": "string", "enum": ["good", "bad"]},
        "maybe": {"type": ["integer", "null"]},
        "lines": {
            "type": "array",
            "items": {"type": "object", "properties": {"net": {"type": "number"}, "tax": {"type": "number"}}},
        },
    },
    "required": ["name", "maybe"],
}


def test_the_copy_can_be_enforced():
    copy = strict_schema.of(SCHEMA)

    form = {"format": {"type": "json_schema", "schema": copy}}
    made = openai_requests.chat({"model": "m", "max_tokens": 9, "messages": [], "output_config": form})
    assert made["response_format"]["json_schema"]["strict"] is True
    assert copy["required"] == list(SCHEMA["properties"])
    assert copy["properties"]["mood"]["enum"] == ["good", "bad", None]
    assert copy["properties"]["name"]["type"] == "string"
    assert "minLength" in copy["properties"]["name"]["description"]


def test_an_answer_is_read_back_as_it_was_meant():
    lines = [{"net": 1.5, "tax": None}]
    written = {"name": "a", "due": None, "mood": None, "maybe": None, "lines": lines}

    found = AnswerSchema(SCHEMA).check(json.dumps(written))

    assert json.loads(found.value or "") == {"name": "a", "maybe": None, "lines": [{"net": 1.5}]}
    assert not found.is_mended
    assert AnswerSchema(SCHEMA).check(json.dumps({**written, "name": None})).fault is not None


@pytest.mark.parametrize("schema", [{"type": "object"}, {"properties": {"any": {"type": "object"}}}])
def test_a_schema_that_nobody_can_enforce_is_sent_as_it_is(schema):
    assert strict_schema.of(schema) is schema
