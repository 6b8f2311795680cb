"""Checking answers: what a schema finds, and what it must not be able to do."""

import json
from typing import Any

import pytest

from app.core.requests import patterns
from app.core.requests.schema_cost import weight
from app.core.requests.schemas import MAX_PATTERN_PRICE, MAX_PATTERNS, AnswerSchema, compile_schema
from app.errors import BadInput

TWICE_ITSELF = {"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}, {"const": 1}], "type": "array"}
TREE = {
    "$defs": {"leaf": {"type": "string"}, "unused": {"type": "null"}},
    "properties": {"name": {"$ref": "#/$defs/leaf"}, "children": {"items": {"$ref": "#"}}},
}


def test_an_answer_that_fits_has_no_fault_and_another_is_told_where_it_fails() -> None:
    schema = AnswerSchema({"properties": {"stars": {"type": "integer"}}})

    assert schema.check('{"stars": 5}').fault is None
    assert "at /stars" in (schema.check('{"stars": "five"}').fault or "")


@pytest.mark.parametrize(
    "answer", ["no JSON", '"\\ud800"', "[" * 400 + "]" * 400, "[" * 100_000, '{"n": ' + "9" * 5_000 + "}"]
)
def test_an_answer_that_no_validator_takes_is_a_fault_and_no_exception(answer: str) -> None:
    schema = AnswerSchema({"type": "string"})

    assert "not JSON that can be checked" in (schema.check(answer).fault or "")


def test_an_answer_checked_in_a_process_of_its_own_is_told_the_same() -> None:
    schema = AnswerSchema({"type": "object"})

    assert schema.check_in_subprocess("{}", mends=True).value == "{}"
    assert schema.check_in_subprocess('"\ud800"', mends=True) == schema.check('"\ud800"')


def test_a_schema_that_makes_years_of_work_is_given_up_after_seconds() -> None:
    # Given a schema that visits each level of an answer twice for each time it visits the one above
    schema, answer = AnswerSchema(TWICE_ITSELF), "[" * 40 + "2" + "]" * 40

    # Then it may not be checked where others work, and a process of its own gives up
    assert not schema.is_light(answer)
    assert "could not be checked" in (schema.check_in_subprocess(answer, mends=True).fault or "")


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


def _doubling(length: int, keyword: str = "allOf") -> dict[str, Any]:
    names = {f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": {**names, f"d{length}": {"type": "object"}}}


@pytest.mark.parametrize("unevaluated", ["unevaluatedProperties", "unevaluatedItems"])
@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
@pytest.mark.parametrize("length", [17, 18, 22, 60])
def test_a_schema_of_which_compiling_makes_too_many_copies_is_refused_at_once(
    unevaluated: str, keyword: str, length: int
) -> None:
    with pytest.raises(BadInput, match="with its references followed"):
        compile_schema({unevaluated: False, **_doubling(length, keyword)})


def test_copies_are_counted_only_where_the_compiler_makes_them() -> None:
    compile_schema(_doubling(60))
    compile_schema({"unevaluatedProperties": False, **_doubling(8)})
    compile_schema({"properties": {"a": {"unevaluatedProperties": False}}, **_doubling(60)})


def test_copies_within_copies_are_multiplied() -> None:
    # Given two doublings of which the compiler copies the second for each copy of the first
    inner = {"unevaluatedProperties": False, "$ref": "#/$defs/e0"}
    schema = {"unevaluatedProperties": False, **_doubling(7)}
    second = json.loads(json.dumps(_doubling(7)["$defs"]).replace('"d', '"e').replace("/d", "/e"))
    schema["$defs"] |= second | {"d7": {"anyOf": [{"properties": {"a": inner}}]}}

    # Then either is accepted alone, and both together are not
    compile_schema({**inner, "$defs": second})
    with pytest.raises(BadInput, match="with its references followed"):
        compile_schema(schema)


def test_references_that_lead_to_one_another_have_a_depth() -> None:
    def chain(length: int) -> dict[str, Any]:
        names = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}]} for n in range(length)}
        return {"unevaluatedItems": False, "$ref": "#/$defs/d0", "$defs": {**names, f"d{length}": {}}}

    compile_schema(chain(90))
    with pytest.raises(BadInput, match="over 100 deep"):
        compile_schema(chain(3_000))


def test_a_schema_that_refers_to_itself_is_copied_once() -> None:
    tree = {"$dynamicAnchor": "node", "properties": {"children": {"items": {"$dynamicRef": "#node"}}}}
    schema = AnswerSchema(
        {"unevaluatedProperties": False, "allOf": [{"$ref": "#/$defs/tree"}], "$defs": {"tree": tree}}
    )

    assert schema.check('{"children": [{"children": []}]}').fault is None
    assert schema.check('{"other": 1}').fault


@pytest.mark.parametrize("reference", ["#/$defs/b", "#b", "#/a~1b/0", "", "#/%24defs/b"])
def test_a_reference_is_found_as_the_compiler_finds_it(reference: str) -> None:
    # Given a part that can be referred to in several ways, and is copied too often
    part = {"$anchor": "b", **_doubling(18)["$defs"]["d0"]}
    schema = {
        "unevaluatedProperties": False,
        "$ref": reference or "http://example.com/#b",
        "$id": "http://example.com/",
        "a/b": [part],
        "$defs": {**_doubling(18)["$defs"], "b": part},
    }

    with pytest.raises(BadInput, match="with its references followed"):
        compile_schema(schema)


def test_a_reference_that_nobody_can_follow_is_refused_where_it_would_be_copied() -> None:
    for other in ({"$ref": "other"}, {"$ref": "#nowhere"}, {"allOf": [{"$id": "http://a", "$ref": "#/b"}]}):
        with pytest.raises(BadInput):
            compile_schema({"unevaluatedProperties": False, **other})


@pytest.mark.parametrize(
    ("pattern", "states"), [("abc", 3), ("^\\d{4}-\\d{2}$", 123), ("(a{10}){1,10}", 100), ("(a|b){3}c", 10)]
)
def test_the_states_of_a_pattern_are_multiplied_by_its_repetitions(pattern: str, states: int) -> None:
    assert patterns.states(pattern) == states


def test_the_price_of_a_pattern_grows_with_what_makes_it_slow() -> None:
    assert patterns.price("a" * 100) == 100
    assert patterns.price("(?i)" + "a" * 96) == 1_000
    assert patterns.price("\\w" * 4_000) > MAX_PATTERN_PRICE


def test_an_answer_is_light_only_where_its_pattern_is() -> None:
    text = '"%s"' % ("ab" * 50_000)

    assert AnswerSchema({"pattern": "^[ab]+$"}).is_light(text)
    assert not AnswerSchema({"pattern": "[ab]*a[ab]{4000}c"}).is_light(text)
    assert not AnswerSchema({"patternProperties": {"[ab]*a[ab]{4000}c": {}}}).is_light(text)


@pytest.mark.parametrize("name", ["schema", "json_schema"])
def test_what_other_providers_want_around_a_schema_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=f'stands under "{name}"'):
        compile_schema({"name": "score", "strict": True, name: {"type": "object"}})
