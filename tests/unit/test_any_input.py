"""Whatever bytes a reader is given, it gives values or a refusal of ours, never another exception."""

import io
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from app.core.money import pricing
from app.core.requests.schemas import AnswerSchema
from app.errors import BadInput, Refused
from app.ingest.draft import Defaults, Problems
from app.ingest.jsonl import read_jsonl
from app.ingest.records import read_records
from app.ingest.templates import compile_template
from app.ingest.values import MAX_NESTED, from_json, is_deeper, to_json, whole_number
from app.web import cursors, idempotency
from app.web.bodies import read_json
from app.web.submissions.bodies import NUMBERS, OBJECTS, _value

few = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

# JSON as it may be sent: numbers beyond floats, texts beyond UTF-8, and nesting.
numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([10**30, -(10**400), 1e308]))
texts = st.text(st.characters(codec=None), max_size=20)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
bodies = st.one_of(
    st.binary(max_size=60),
    values.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [b'{"a": 1e400}', b"[" * 960 + b"]" * 960, b"9" * 5_000, b"-1e999", b"NaN", b'"\\ud800"']
    ),
)
DEFAULTS = Defaults("simulated", 100)


@few
@given(bodies)
def test_a_json_body_is_a_value_that_can_be_written_again_or_is_refused(body: bytes) -> None:
    with suppress(BadInput):
        value = read_json(body)

        assert not is_deeper(value, MAX_NESTED)
        assert read_json(to_json(value)) == value


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "1" + "0" * 400 + ".0", "NaN", "Infinity", "9" * 5_000]
)
def test_no_number_that_cannot_be_written_again_is_read(number: str) -> None:
    for text in (number, f"[{number}]", f'{{"a": {{"b": {number}}}}}'):
        with pytest.raises(ValueError, match=r"number|digits"):
            from_json(text)


@pytest.mark.parametrize("levels", [MAX_NESTED + 1, 955, 960, 970, 100_000])
def test_what_is_nested_too_deeply_is_refused_by_the_reader(levels: int) -> None:
    from_json("[" * MAX_NESTED + "]" * MAX_NESTED)
    for opening, closing in (("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")):
        count = levels // opening.count("[") if opening.count("[") + opening.count("{") > 1 else levels
        core = "1" if opening.endswith(":") else ""
        with pytest.raises(ValueError, match="nested"):
            from_json(opening * count + core + closing * count)


@few
@given(st.lists(values, max_size=4))
def test_records_are_drafts_or_problems(items: list[Any]) -> None:
    problems = Problems()
    with suppress(Refused):
        read = _as_read(items)
        drafts = list(read_records(read, DEFAULTS, None, problems, max_records=10))

        assert len(drafts) + problems.count >= len(read)


@few
@given(st.lists(bodies, max_size=4), st.sampled_from(["{{ a }}", "{{ a|int }}{{ b|default('') }}", None]))
def test_lines_are_drafts_or_problems(lines: list[bytes], source: str | None) -> None:
    template = None if source is None else compile_template(source)
    with suppress(Refused):
        list(read_jsonl(io.BytesIO(b"\n".join(lines)), DEFAULTS, template, Problems(), max_records=10))


TOKENS = (
    "{{ }} {% %} {# #} if else endif raw endraw for a row self | int tojson replace( ( ) [ ] { } ' 1 1e9 0x"
    ' ** . , - "'
)
parts = st.sampled_from([*TOKENS.split(), " "])


@few
@given(
    st.one_of(texts, st.lists(parts, max_size=14).map("".join)), st.dictionaries(texts, values, max_size=3)
)
def test_a_template_renders_or_is_refused(source: str, row: dict[str, Any]) -> None:
    with suppress(BadInput):
        assert isinstance(compile_template(source).render({**row, "a": "text"}), str)


def _schema(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists, named = st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "$ref": st.sampled_from(["#", "#/$defs/a", "#a", "#/allOf/0", "other", "#/", "#/allOf/٣", ""]),
            "$dynamicRef": st.sampled_from(["#a", "#/$defs/a"]),
            "$anchor": st.just("a"),
            "$id": st.sampled_from(["http://example.com/a", "urn:a", "#a"]),
            "unevaluatedProperties": inner,
            "unevaluatedItems": inner,
            "allOf": lists,
            "anyOf": lists,
            "if": inner,
            "items": inner,
            "properties": named,
            "dependentSchemas": named,
            "$defs": st.fixed_dictionaries({"a": inner}),
            "pattern": st.one_of(texts, st.sampled_from(["(a{9}){9}", "[", "\\w+", "(?i)a", "(?=a)"])),
            "patternProperties": named,
            "multipleOf": numbers,
            "enum": st.lists(values, max_size=2),
            "type": st.sampled_from(["object", "array", "nothing"]),
        },
    )


schemas = st.one_of(
    st.dictionaries(texts, values, max_size=3), st.recursive(st.booleans(), _schema, max_leaves=8)
)


@few
@given(schemas.filter(lambda schema: isinstance(schema, dict)), bodies)
def test_a_schema_checks_answers_or_is_refused(schema: dict[str, Any], answer: bytes) -> None:
    with suppress(BadInput):
        checked = AnswerSchema(_as_read([schema])[0])
        text = answer.decode("utf-8", "replace")
        if checked.is_light(text):
            assert (verdict := checked.check(text)).fault is None or verdict.value is None


@few
@given(
    st.one_of(
        texts, st.binary().map(lambda data: cursors.write(data.decode("latin-1"))), st.integers().map(str)
    )
)
def test_a_cursor_is_read_or_refused(cursor: str) -> None:
    for text in (cursor, _encoded(cursor)):
        for read in _cursor_readers(text):
            with suppress(BadInput):
                read()


def _cursor_readers(text: str) -> Iterator[Any]:
    yield lambda: cursors.job_before(text)
    yield lambda: cursors.index_after(text)
    yield lambda: cursors.number_before(text)
    for group in ("model", "day", "job"):
        yield lambda group=group: cursors.group_after(group, text)


def _encoded(text: str) -> str:
    return cursors.write(text.encode("utf-8", "replace").decode())


@few
@given(st.sampled_from([*NUMBERS, *OBJECTS, "name"]), st.one_of(texts, values.map(json.dumps)))
def test_a_field_of_a_form_is_a_value_or_refused(name: str, text: str) -> None:
    with suppress(BadInput):
        _value(name, text)


@few
@given(st.one_of(texts, st.text("0123456789-+²٣_ ", max_size=30)))
def test_a_whole_number_is_ascii_digits_and_fits_every_column(text: str) -> None:
    number = whole_number(text)

    assert number is None or (abs(number) < 2**63 and int(text) == number and text.isascii())


@few
@given(st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=20))
def test_headers_of_a_repetition_are_read_or_refused(text: str) -> None:
    idempotency.sending(Headers([("X-Stainless-Retry-Count", text)]))
    with suppress(BadInput):
        idempotency.sending(Headers([("Idempotency-Key", text)]))


@few
@given(
    st.one_of(texts, numbers.map(str), st.sampled_from(["1e1000000", "sNaN", "-Infinity", "1e-999999999"]))
)
def test_dollars_are_a_bounded_number_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert 0 < pricing.pico(text) <= 10**18


def _as_read(items: list[Any]) -> list[Any]:
    """The values as a body would bring them, without those that no body brings."""
    read = []
    for item in items:
        with suppress(ValueError):
            read.append(from_json(json.dumps(item)))
    return read or [{}]
