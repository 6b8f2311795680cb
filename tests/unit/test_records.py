"""One record of the native contract, and what a job's records must be together."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadInput, TooLarge
from app.ingest.draft import Defaults, Draft, Problems
from app.ingest.records import read_record, read_records
from app.ingest.templates import compile_template
from app.ingest.values import from_json, to_json

DEFAULTS = Defaults(model="simulated", max_tokens=100)
ASKED = {"messages": [{"role": "user", "content": "Hi"}]}


def draft_of(item: Any, template: str | None = None, defaults: Defaults = DEFAULTS) -> Draft:
    problems = Problems()
    draft = read_record(item, "here", defaults, template and compile_template(template), problems)
    assert problems.listed == []
    assert draft is not None
    return draft


def fault_of(item: Any, template: str | None = None, defaults: Defaults = DEFAULTS) -> str:
    problems = Problems()
    assert read_record(item, "here", defaults, template and compile_template(template), problems) is None
    assert problems.count == 1
    assert problems.listed[0]["where"].startswith("here")
    return problems.listed[0]["where"] + ": " + problems.listed[0]["message"]


def read_all(items: list[Any], max_records: int = 1_000, template: str | None = None):
    problems = Problems()
    taken = read_records(
        items, DEFAULTS, template and compile_template(template), problems, max_records=max_records
    )
    return list(taken), problems.listed


def test_a_prompt_becomes_a_draft():
    draft = draft_of({"prompt": "Hi é", "custom_id": "a", "conversation": "c", "max_tokens": 5})

    assert draft.body == '{"prompt":"Hi é"}'.encode()
    assert (draft.custom_id, draft.conversation, draft.max_tokens) == ("a", "c", 5)


@pytest.mark.parametrize(
    "item",
    [
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": [{"type": "text"}]},
            ]
        },
        {"params": {**ASKED, "thinking": {"type": "adaptive"}, "not_invented_yet": [1, {"a": None}]}},
    ],
)
def test_what_a_record_asks_is_kept_untouched(item):
    assert json.loads(draft_of(item).body) == item


def test_a_whole_request_brings_its_own_max_tokens():
    assert draft_of({"params": {**ASKED, "max_tokens": 7}}).max_tokens == 7
    assert draft_of({"params": ASKED, "max_tokens": 9}).max_tokens == 9
    assert "twice" in fault_of({"params": {**ASKED, "max_tokens": 7}, "max_tokens": 9})


def test_request_bytes_count_what_the_job_adds():
    # Given a job with a system prompt, a schema and parameters
    added = {"system": "é" * 500, "schema": {"type": "object"}, "params": {"temperature": 1}}
    rich = Defaults(model="simulated", max_tokens=100, **added)

    # Then each of its requests is that much larger
    item = {"prompt": "x" * 1_000}
    more = draft_of(item, defaults=rich).request_bytes - draft_of(item).request_bytes
    assert more == 1_000 + len('{"type":"object"}') + len('{"temperature":1}')
    assert 1_000 < draft_of(item).request_bytes < 1_500


def test_request_bytes_of_a_row_are_those_of_its_prompt():
    row = {"review": "x" * 1_000, "unused": "y" * 5_000}

    assert 1_000 < draft_of(row, "{{ review }}").request_bytes < 1_500
    assert 3_000 < draft_of(row, "{{ review }}{{ review }}{{ review }}").request_bytes < 3_500


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ([], "a record must be a JSON object, found an empty list"),
        ("x", "a record must be a JSON object, found a string"),
        ({}, 'give one of "prompt", "messages", "params", "document"; found nothing'),
        ({"promt": "x"}, 'found "promt"'),
        ({"prompt": "x", "temperature": 1}, 'unknown: "temperature"'),
        ({"prompt": "x", "messages": []}, "exactly one of"),
        ({"prompt": ""}, '"prompt" must be a non-empty string, found an empty string'),
        ({"prompt": None}, '"prompt" must be a non-empty string, found nothing'),
        ({"prompt": "x", "custom_id": 7}, '"custom_id" must be a string, found a number'),
        ({"prompt": "x", "custom_id": ""}, '"custom_id" must have 1 to 256 characters, found 0'),
        ({"prompt": "x", "custom_id": "y" * 257}, "found 257"),
        ({"prompt": "x", "custom_id": "a\0b"}, "without NUL"),
        ({"prompt": "x", "conversation": "\ud83d"}, "unpaired surrogates"),
        ({"prompt": "x", "max_tokens": 0}, '"max_tokens" must be a whole number from 1 to 1,000,000'),
        ({"prompt": "x", "max_tokens": True}, '"max_tokens"'),
        ({"prompt": "x", "max_tokens": 1_000_001}, '"max_tokens"'),
        ({"messages": []}, '"messages" must be a non-empty list'),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 'the first "role" must be "user"'),
        ({"messages": [{"role": "system", "content": "x"}]}, '"system" is not a role here'),
        ({"messages": [{"role": "tool", "content": "x"}]}, '"role" must be "user" or "assistant"'),
        ({"messages": [{"role": "user", "content": []}]}, "found an empty list"),
        ({"messages": [{"role": "user", "content": {}}]}, "found an object"),
        ({"messages": ["x"]}, "messages[0]: a message must be an object, found a string"),
        ({"params": []}, '"params" must be an object'),
        ({"params": {}}, 'params: "messages" must be a non-empty list'),
        ({"params": {**ASKED, "stream": True}}, '"stream" is not supported'),
        ({"params": {**ASKED, "model": 5}}, '"model" must be the name of a model, found a number'),
        ({"params": {**ASKED, "model": "claude-\0"}}, '"model" must be the name of a model, found a string'),
        ({"params": {**ASKED, "model": "claude-" + "x" * 200}}, '"model" must be the name of a model'),
        ({"params": {**ASKED, "max_tokens": "many"}}, '"max_tokens" must be a whole number'),
        ({"\ud83d": "x"}, 'found "\\ud83d"'),
        ({"document": "aGk="}, "cannot be known in advance: it has no quote"),
        ({"input": "x"}, '"input" needs a model `inference:NAME` of an inference server, or `simulated`'),
        ({"row": {"a": 1}}, 'a "row" needs a template'),
        ({"prompt": "x", "temperature": 1e999}, 'unknown: "temperature"'),
        ({"params": {**ASKED, "temperature": float("inf")}}, "cannot be written as JSON"),
    ],
)
def test_a_fault_is_named(item, said):
    assert said in fault_of(item)


INFERENCE = Defaults(model="inference:double", max_tokens=1, inputs=True, messages=False)


@pytest.mark.parametrize(
    "value", [1, -2.5, True, "text", [1, 2.5], [[1, 2], [3, 4]], ["a", "\ud83d"], [[[0]]]]
)
def test_an_input_is_a_row_of_a_tensor(value):
    draft = draft_of({"input": value, "custom_id": "a"}, defaults=INFERENCE)
    assert json.loads(draft.body) == {"input": value}
    assert draft.custom_id == "a"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({}, 'give "input"; found nothing'),
        ({"prompt": "x"}, 'model \'inference:double\' takes an "input"; found "prompt"'),
        (
            {"input": 1, "conversation": "c"},
            'unknown: "conversation"; besides "input" a record may have "custom_id"',
        ),
        ({"input": None}, "numbers, strings or booleans, found nothing"),
        ({"input": {"x": 1}}, "found an object"),
        ({"input": [1, None]}, "found nothing"),
        ({"input": []}, "an empty list"),
        ({"input": [[1], []]}, "an empty list"),
        ({"input": [[1, 2], [3]]}, "rectangular"),
        ({"input": [1, [2]]}, "rectangular"),
        ({"input": [1, "2"]}, "of one kind, found numbers and texts"),
        ({"input": [True, 2]}, "of one kind, found numbers and truths"),
        ({"input": [float("nan")]}, "cannot be written as JSON"),
        ({"input": [[[[[[[[[1]]]]]]]]]}, "nested over 8 deep"),
    ],
)
def test_what_is_no_row_of_a_tensor_is_refused(item, said):
    assert said in fault_of(item, defaults=INFERENCE)


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_nested_deeper_than_any_reader_can_follow_is_refused():
    assert "nested over 100 deep" in fault_of({"params": {**ASKED, "metadata": nested(100)}})
    assert "nested over 100 deep" in fault_of({"review": nested(101)}, "{{ review }}")
    assert draft_of({"params": {**ASKED, "metadata": nested(99)}})


def test_a_request_over_32_megabytes_is_refused():
    assert "the limit is 32,000,000" in fault_of({"prompt": "x" * 32_000_000})
    assert draft_of({"prompt": "x" * 31_000_000}).request_bytes > 31_000_000


def test_in_a_job_with_a_template_an_object_of_cells_is_a_row():
    # Given a row that carries ids among its cells
    row = {"review": "Nice", "custom_id": 17, "conversation": "c", "input": "a column like any other"}

    # Then the ids are taken, and stay cells
    draft = draft_of(row, "{{ review }}")
    assert (draft.custom_id, draft.conversation) == ("17", "c")
    assert json.loads(draft.body) == {"row": row}


def test_a_row_may_be_given_apart_from_what_is_beside_it():
    item = {"row": {"review": "Nice", "custom_id": "a cell"}, "custom_id": "a", "max_tokens": 5}
    draft = draft_of(item, "{{ review }}")

    assert (draft.custom_id, draft.max_tokens) == ("a", 5)
    assert json.loads(draft.body) == {"row": item["row"]}
    assert 'unknown: "model"' in fault_of({"row": {"review": "x"}, "model": "y"}, "{{ review }}")


def test_a_job_with_a_template_still_takes_whole_prompts():
    assert draft_of({"prompt": "Hi"}, "{{ review }}").body == b'{"prompt":"Hi"}'
    assert draft_of({"prompt": "Hi"}, "In French: {{ prompt }}").body == b'{"row":{"prompt":"Hi"}}'


def test_a_row_without_a_column_of_the_template_names_what_it_has():
    assert fault_of({"revew": "x"}, "{{ review }}") == 'here: the template uses "review"; there is "revew"'


def test_a_cell_of_over_a_megabyte_is_named_with_its_size():
    assert fault_of({"review": "é" * 1_000_000}, "{{ review }}") == (
        'here, column "review": the cell has 2,000,000 bytes; the limit is 1,000,000'
    )
    assert 'column "tags"' in fault_of({"review": "x", "tags": ["y" * 1_000_000]}, "{{ review }}")


def test_an_empty_cell_is_a_value_beside_one_that_is_not_empty():
    row = {"id": 1, "review": ""}
    assert json.loads(draft_of(row, "{{ id }}: [{{ review }}]").body) == {"row": row}


BLANK = [" ", "\n\t", "\u00a0", "\u200b\ufeff", "\0", "\u3164", "\u2800"]


@pytest.mark.parametrize("blank", BLANK, ids=ascii)
def test_what_shows_nothing_is_never_asked(blank):
    messages = [{"role": "user", "content": blank}]
    blocks = [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": blank}]}]
    assert fault_of({"prompt": blank}) == 'here: "prompt" is blank: there is nothing to ask'
    assert fault_of({"messages": messages}) == (
        'here: messages[0]: "content" is blank: there is nothing to ask'
    )
    assert fault_of({"messages": blocks}) == ('here: messages[0]: "content[1]" is a blank text: leave it out')
    assert fault_of({"params": {"messages": messages}}).startswith("here: params: messages[0]")
    for row in ({"review": blank}, {"row": {"review": blank}}):
        assert fault_of(row, "Judge: {{ review }}") == (
            'here: the row has nothing in "review", so there is nothing to ask: leave it out'
        )
    assert "the prompt of this row is blank" in fault_of({"a": 1, "b": blank}, "{% if a %}{{ b }}{% endif %}")


def test_a_template_that_says_what_it_asks_without_a_cell_is_believed():
    draft_of({"review": ""}, "{{ review|default('Say something') }}")
    draft_of({}, "{{ review|default('Say something') }}")


@pytest.mark.parametrize("text", ["\0", "\ud83d", "\ude00\ud83d", "é\ud83d", "\U0001f600", "\u2028", "\x7f"])
def test_text_that_utf8_cannot_hold_survives(text):
    text = f"a{text}"
    assert json.loads(draft_of({"prompt": text}).body) == {"prompt": text}
    assert json.loads(draft_of({"review": text}, "x").body) == {"row": {"review": text}}


TEXT = st.text(st.characters())  # half surrogate pairs too
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_values_are_written_and_read_without_loss(value):
    assert from_json(to_json(value).decode()) == value
    assert json.loads(to_json(value)) == value


@given(JSON)
def test_any_value_is_a_record_or_a_named_fault(value):
    for template in (None, compile_template("{{ prompt }}")):
        problems = Problems()
        draft = read_record(value, "here", DEFAULTS, template, problems)
        assert (draft is None) == (problems.count == 1)


@pytest.mark.parametrize(
    "text", ["NaN", "-Infinity", "[1, NaN]", "1" * 5_000, "[" * 100_000, '"a" b', "", " "]
)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - each says something else
        from_json(text)


def test_faults_are_listed_in_order_and_the_rest_is_read():
    drafts, problems = read_all([{"prompt": "a"}, {}, {"prompt": "b"}, 7])

    assert [draft.body for draft in drafts] == [b'{"prompt":"a"}', b'{"prompt":"b"}']
    assert [problem["where"] for problem in problems] == ["records[1]", "records[3]"]


def test_a_custom_id_given_twice_names_both_places():
    _, problems = read_all([{"prompt": "a", "custom_id": name} for name in ("x", "y", "x", "x")])

    assert problems == [
        {"where": "records[2]", "message": 'custom_id "x" is already used by records[0]'},
        {"where": "records[3]", "message": 'custom_id "x" is already used by records[0]'},
    ]


def test_every_repeated_custom_id_of_many_is_found():
    # Given 20,000 ids of which the last hundred repeat
    names = [f"id-{number}" for number in range(20_000)] + [f"id-{number * 7}" for number in range(100)]

    # Then these hundred are named, each with its first place
    drafts, problems = read_all([{"prompt": "a", "custom_id": name} for name in names], 30_000)
    assert len(drafts) == 20_000
    assert [problem["message"].split()[-1] for problem in problems] == [
        f"records[{number * 7}]" for number in range(100)
    ]


def test_one_record_too_many_is_refused_at_once():
    def endless():
        while True:
            yield {"prompt": "a"}

    with pytest.raises(TooLarge, match=r"records\[10\]: a job takes up to 10 records"):
        read_all(endless(), 10)


def test_no_record_at_all_is_refused():
    with pytest.raises(BadInput, match="`records` is empty"):
        read_all([])
