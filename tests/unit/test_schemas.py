"""Checking answers: what a schema finds, and what it must not be able to do."""

import pytest

from app.core.requests.schema_cost import weight
from app.core.requests.schemas import MAX_PATTERNS, AnswerSchema, compile_schema
from app.errors import BadInput

TWICE_ITSELF = {"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}, {"const": 1}], "type": "array"}
TREE = {
    "$defs": {"leaf": {"type": "string"}, "unused": {"type": "null"}},
    "properties": {"name": {"$ref": "#/$defs/leaf"}, "children": {"items": {"$ref": "#"}}},
}


def test_an_answer_that_fits_has_no_fault_and_another_is_told_where_it_fails() -> None:
    schema = AnswerSchema({"properties": {"stars": {"type": "integer"}}})

    assert schema.fault('{"stars": 5}') is None
    assert "at /stars" in (schema.fault('{"stars": "five"}') or "")


@pytest.mark.parametrize(
    "answer", ["no JSON", '"\\ud800"', "[" * 400 + "]" * 400, "[" * 100_000, '{"n": ' + "9" * 5_000 + "}"]
)
def test_an_answer_that_no_validator_takes_is_a_fault_and_no_exception(answer: str) -> None:
    schema = AnswerSchema({"type": "string"})

    assert "not JSON that can be checked" in (schema.fault(answer) or "")


def test_an_answer_checked_in_a_process_of_its_own_is_told_the_same() -> None:
    schema = AnswerSchema({"type": "object"})

    assert schema.fault_in_subprocess("{}") is None
    assert schema.fault_in_subprocess('"\ud800"') == schema.fault('"\ud800"')


def test_a_schema_that_makes_years_of_work_is_given_up_after_seconds() -> None:
    # Given a schema that visits each level of an answer twice for each time it visits the one above
    schema, answer = AnswerSchema(TWICE_ITSELF), "[" * 40 + "2" + "]" * 40

    # Then it may not be checked where others work, and a process of its own gives up
    assert not schema.is_light(answer)
    assert "could not be checked" in (schema.fault_in_subprocess(answer) or "")


def test_the_weight_of_a_schema_counts_what_references_lead_to() -> None:
    doubling = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(30)}

    assert weight({"type": "string"}) == 2
    assert (weight({"$defs": doubling | {"a30": {}}, "$ref": "#/$defs/a0"}) or 0) > 2**30
    assert not AnswerSchema({"$defs": doubling | {"a30": {}}, "$ref": "#/$defs/a0"}).is_light("{}")


def test_the_weight_of_what_names_itself_has_no_end_unless_it_does_so_once() -> None:
    assert weight(TWICE_ITSELF) is None
    assert weight(TREE) is None  # its leaves are a second reference
    assert weight({"items": {"$ref": "#"}}) == 3
    assert weight({"$dynamicRef": "#"}) is None
    assert weight({"$ref": "#nowhere"}) is not None
    assert weight({"$defs": {"a": {"$id": "http://a", "items": {"$ref": "#"}}}}) is None


def test_too_many_or_too_large_patterns_are_refused() -> None:
    compile_schema({"allOf": [{"pattern": f"^a{n}$"} for n in range(MAX_PATTERNS)]})

    for schema in (
        {"allOf": [{"pattern": f"^a{n}$"} for n in range(MAX_PATTERNS + 1)]},
        {"patternProperties": {f"^a{n}$": {} for n in range(MAX_PATTERNS + 1)}},
        {"pattern": "(\\pL{100}){100}"},
        {"pattern": "(a+)\\1"},
    ):
        with pytest.raises(BadInput):
            compile_schema(schema)
