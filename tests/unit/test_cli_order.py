"""What `penstock run` makes of its arguments before anything is sent."""

import json
from dataclasses import replace

import pytest

from app.cli import order
from app.cli.order import Order
from app.errors import BadInput


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text('id,review\n1,"good,\nvery ""good"""\n2,bad\n3,"x\r\ny"\n', newline="")
    return path


def test_answers_go_beside_the_input_in_its_own_format(table):
    assert order.check(table, None) == table.with_name("reviews.answers.csv")


@pytest.mark.parametrize(
    ("file", "out", "told"),
    [
        ("missing.csv", None, "missing.csv does not exist"),
        (".", None, "is not a file"),
        ("reviews.pdf", None, r"supported are \.csv, \.tsv, \.txt, \.jsonl, \.json, \.xlsx"),
        ("reviews.csv", "answers.docx", r"answers are written as \.csv, \.tsv, \.jsonl, \.json, \.xlsx"),
        ("reviews.csv", "reviews.csv", "is the input itself"),
        ("reviews.csv", "nowhere/answers.csv", "nowhere is not a directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_before_anything_is_paid_for(table, file, out, told):
    table.with_name("reviews.pdf").touch()
    with pytest.raises(BadInput, match=told):
        order.check(table.parent / file, out and table.parent / out)


def test_the_fingerprint_is_of_what_is_asked_and_not_of_where_it_lies(table, tmp_path):
    # Given
    asked = Order(table, tmp_path / "a.csv", prompt="{{ review }}", model="simulated")
    copy = table.rename(tmp_path / "other.csv")
    # Then
    same = [replace(asked, file=copy), replace(asked, file=copy, out=tmp_path / "b.jsonl")]
    assert {each.fingerprint() for each in same} == {same[0].fingerprint()}


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "{{ id }}"},
        {"model": "x"},
        {"system": "Be brief."},
        {"max_tokens": 9},
        {"rows": 2},
        {"schema": {"type": "object"}},
        {"schema": {}},
        {"params": {"temperature": 0}},
        {"asks": ("tone: {{ review }}",)},
        {"sheet": "June"},
        {"header_row": 2},
        {"visible_only": True},
    ],
)
def test_another_question_has_another_fingerprint(table, tmp_path, change):
    asked = Order(table, tmp_path / "a.csv", prompt="{{ review }}")
    assert replace(asked, **change).fingerprint() != asked.fingerprint()


def test_only_what_was_given_is_sent_beside_the_file_and_the_fingerprint(table, tmp_path):
    asked = Order(table, tmp_path / "a.csv", prompt="{{ review }}", max_tokens=50)
    fields = asked.fields()
    assert json.loads(fields.pop("metadata")) == {
        "run_fingerprint": asked.fingerprint(),
        "run_whole": asked.fingerprint(),
    }
    assert fields == {"template": "{{ review }}", "max_tokens": "50", "name": "reviews.csv"}


def test_which_part_of_the_file_is_meant_is_left_to_the_stack(table, tmp_path):
    part = {"rows": 2, "sheet": "June", "header_row": 3, "visible_only": True}
    sent = Order(table, tmp_path / "a.csv", **part).fields()
    assert {name: sent[name] for name in part} == {
        "rows": "2",
        "sheet": "June",
        "header_row": "3",
        "visible_only": "true",
    }


@pytest.mark.parametrize(
    ("name", "answers"),
    [("a.tsv", "a.answers.tsv"), ("a.txt", "a.answers.csv"), ("a.xlsm", "a.answers.xlsm")],
)
def test_answers_come_in_the_format_of_the_file_or_in_the_nearest_one(tmp_path, name, answers):
    (tmp_path / name).touch()
    assert order.check(tmp_path / name, None) == tmp_path / answers
