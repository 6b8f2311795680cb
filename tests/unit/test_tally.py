"""Counting drafts for a quote: sizes, longest answers, what is asked twice."""

import io

import pytest

from app.ingest.draft import Defaults, Problems
from app.ingest.jsonl import read_jsonl
from app.ingest.tables import read_csv
from app.ingest.tally import Tally
from app.ingest.templates import compile_template

DEFAULTS = Defaults(model="claude-haiku-4-5", max_tokens=100)


def tally_of(text: str) -> Tally:
    tally, problems = Tally(DEFAULTS, None), Problems()
    for draft in read_jsonl(io.BytesIO(text.encode()), DEFAULTS, None, problems, max_records=10_000):
        tally.add(draft)
    assert not problems.listed
    return tally


def test_a_record_equal_to_an_earlier_one_is_a_duplicate_whatever_it_is_called():
    tally = tally_of(
        '{"custom_id":"a","prompt":"Hello"}\n'
        '{"custom_id":"b","prompt":"Hello"}\n'
        '{"prompt":"hello"}\n'
        '{"prompt":"Hello","max_tokens":5}\n'
        '{"prompt": "Hello"}\n'
    )
    assert (tally.count, tally.duplicates) == (5, 2)


def test_turns_of_conversations_are_no_duplicates_and_later_ones_are_counted():
    tally = tally_of(
        '{"prompt":"Go on","conversation":"a"}\n' * 3 + '{"prompt":"Go on","conversation":"b"}\n'
    )
    assert (tally.duplicates, tally.later_turns) == (0, 2)


def test_of_a_row_only_the_columns_that_the_template_looks_at_count():
    # Given a table whose ids differ
    text = b"id,review,stars\n1,good,5\n2,good,4\n3,bad,1\n"
    template, problems = compile_template("Summarise: {{ review }}"), Problems()
    tally = Tally(DEFAULTS, template)
    # When
    for draft in read_csv(io.BytesIO(text), DEFAULTS, template, problems, max_records=10).drafts:
        tally.add(draft)
    # Then
    assert (tally.count, tally.duplicates) == (3, 1)


def test_the_longest_answers_and_other_models_are_the_records_own():
    tally = tally_of(
        '{"prompt":"a"}\n'
        '{"prompt":"b","max_tokens":7}\n'
        '{"params":{"model":"claude-opus-5","max_tokens":3,"messages":[{"role":"user","content":"c"}]}}\n'
        '{"params":{"messages":[{"role":"user","content":"d"}]}}\n'
    )
    assert tally.max_output_tokens == 100 + 7 + 3 + 100
    assert tally.of_other_models == 1


def test_many_sizes_are_kept_as_few_classes_that_lose_no_byte():
    tally = tally_of("".join(f'{{"prompt":"{"x" * length}"}}\n' for length in range(1, 5_000)))
    assert sum(kind.count for kind in tally.sizes.values()) == tally.count == 4_999
    assert sum(kind.content_bytes for kind in tally.sizes.values()) == tally.content_bytes
    assert len(tally.sizes) < 200
    assert tally.duplicates == 0


@pytest.mark.parametrize("count", [10, 5_000])
def test_every_duplicate_of_many_is_found(count):
    tally = tally_of("".join(f'{{"prompt":"{number}"}}\n' for number in [*range(count), *range(count)]))
    assert tally.duplicates == count
