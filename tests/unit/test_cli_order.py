"""What `penstock run` makes of its arguments before anything is sent."""

import csv
import json
from dataclasses import replace

import openpyxl
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
        ("reviews.txt", None, r"supported are \.csv, \.tsv, \.jsonl, \.xlsx"),
        ("reviews.csv", "answers.parquet", r"answers are written as \.csv, \.tsv, \.jsonl, \.xlsx"),
        ("reviews.csv", "reviews.csv", "is the input itself"),
        ("reviews.csv", "nowhere/answers.csv", "nowhere is not a directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_before_anything_is_paid_for(table, file, out, told):
    table.with_name("reviews.txt").touch()
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
    [{"prompt": "{{ id }}"}, {"model": "x"}, {"system": "Be brief."}, {"max_tokens": 9}, {"rows": 2}],
)
def test_another_question_has_another_fingerprint(table, tmp_path, change):
    asked = Order(table, tmp_path / "a.csv", prompt="{{ review }}")
    assert replace(asked, **change).fingerprint() != asked.fingerprint()


def test_only_what_was_given_is_sent_beside_the_file_and_the_fingerprint(table, tmp_path):
    asked = Order(table, tmp_path / "a.csv", prompt="{{ review }}", max_tokens=50)
    fields = asked.fields()
    assert json.loads(fields.pop("metadata")) == {"run_fingerprint": asked.fingerprint()}
    assert fields == {"template": "{{ review }}", "max_tokens": "50", "name": "reviews.csv"}


def test_the_first_rows_of_a_table_are_cut_between_rows_and_not_inside_a_cell(table, tmp_path):
    with order.content(Order(table, tmp_path / "a.csv", rows=1)) as beginning:
        assert beginning.name == "reviews.csv"
        assert beginning.read_bytes() == b'id,review\n1,"good,\nvery ""good"""\n'
    with order.content(Order(table, tmp_path / "a.csv", rows=9)) as beginning:
        assert beginning.read_bytes() == table.read_bytes()


def test_a_semicolon_table_with_a_very_long_cell_in_another_encoding_is_cut_as_well(tmp_path):
    # Given
    path = tmp_path / "long.csv"
    row = ["é" * 200_000, "two\nlines; one cell"]
    with path.open("w", encoding="latin-1", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["text", "note"], row, row])
    # When
    with order.content(Order(path, tmp_path / "a.csv", rows=1)) as beginning:
        kept = beginning.read_bytes().decode("latin-1")
    # Then
    assert list(csv.reader(kept.splitlines(keepends=True), delimiter=";")) == [["text", "note"], row]


def test_the_first_lines_and_the_first_sheet_rows_are_cut(tmp_path):
    # Given
    lines = tmp_path / "records.jsonl"
    lines.write_bytes(b'{"prompt":"a"}\n\n{"prompt":"b"}\n{"prompt":"c"}\n')
    sheet = tmp_path / "records.xlsx"
    book = openpyxl.Workbook()
    for row in (["review"], ["a"], ["b"], ["c"]):
        book.active.append(row)
    book.save(sheet)
    # Then
    with order.content(Order(lines, tmp_path / "a.jsonl", rows=2)) as beginning:
        assert beginning.read_bytes() == b'{"prompt":"a"}\n\n{"prompt":"b"}\n'
    with order.content(Order(sheet, tmp_path / "a.xlsx", rows=2)) as beginning:
        kept = openpyxl.load_workbook(beginning).active
        assert [row[0] for row in kept.iter_rows(values_only=True)] == ["review", "a", "b"]
