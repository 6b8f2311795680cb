"""Answers as columns: named, in order, and typed in every form of table."""

import datetime as dt
import io
import json

import openpyxl
import pytest

from app.core.reading.csv_export import csv_lines
from app.core.reading.layout import AnswerColumn, Layout, Row, fields_of
from app.core.reading.xlsx.export import xlsx_chunks
from app.core.reading.xlsx.own_workbook import workbook_chunks
from app.core.requests.answer_fields import schema_of
from app.ingest.forms.delimited import Delimited
from app.ingest.forms.workbook import find_workbook

SCHEMA = schema_of(
    ["score: 1..5", "rate: number?", "good: yes/no", "due: date", "topics: list of text", "review: text"]
)
VALUE = {
    "score": 4,
    "rate": 0.5,
    "good": True,
    "due": "2026-02-28",
    "topics": ["a", "b; c"],
    "review": "=1+1",
}
DUE = dt.datetime(2026, 2, 28)  # noqa: DTZ001 - a sheet knows no zones
ROW = Row({"review": "fine"}, json.dumps(VALUE), "succeeded", None, 9, 3, "0.00007", value=VALUE)
FAILED = Row({"review": "odd"}, "no JSON", "failed", "schema_mismatch: at /score", 9, 3, "0.00007")
LAYOUT = Layout(["review"], fields_of(SCHEMA), answer=False)
NAMES = ["review", "score", "rate", "good", "due", "topics", "answer.review"]


def test_each_property_is_a_column_in_its_order_and_type():
    assert LAYOUT.header[:7] == NAMES
    assert "answer" not in LAYOUT.header
    assert LAYOUT.types[:5] == ["integer", "number", "boolean", "date", "array"]
    assert len(LAYOUT.types) == len(LAYOUT.added) == len(LAYOUT.added_cells(ROW))


def test_a_column_of_the_answers_never_takes_a_name_of_the_sheets():
    layout = Layout(["score", "answer.score"], [AnswerColumn("score"), AnswerColumn("status")])

    assert layout.added[:4] == ["answer.answer.score", "status", "answer", "penstock_status"]


def test_in_csv_they_are_written_as_the_sheet_writes_numbers():
    form = Delimited(separator=";", has_decimal_comma=True)

    lines = b"".join(csv_lines(LAYOUT, [ROW, FAILED], form)).decode("utf-8-sig").splitlines()

    assert lines[1].startswith("fine;4;0,5;true;2026-02-28;")
    assert lines[1].endswith(";succeeded;;;9;3;0,00007")
    assert lines[2].startswith("odd;;;;;;;failed;")


def test_lists_are_json_or_one_text():
    joined = Layout(["review"], LAYOUT.fields, answer=False, joins_lists=True)

    assert LAYOUT.added_cells(ROW)[4] == '["a", "b; c"]'
    assert joined.added_cells(ROW)[4] == "a; b; c"


def sheet(content: bytes):
    return openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]


def test_in_xlsx_they_have_its_types_and_no_text_is_a_formula():
    found = list(sheet(b"".join(xlsx_chunks(LAYOUT, [ROW, FAILED]))).iter_rows(values_only=True))

    assert found[0][:7] == tuple(NAMES)
    assert found[1][:7] == ("fine", 4, 0.5, True, DUE, '["a", "b; c"]', "=1+1")
    assert found[2][:7] == ("odd", *[None] * 6)


@pytest.mark.parametrize("styled", [True, False])
def test_in_the_own_workbook_dates_have_a_style_and_all_others_are_kept(styled):
    # Given a workbook with styles of its own
    book, file = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["review"])
    book.active.append(["fine"])
    if styled:
        book.active["A2"].number_format = "0.00%"
        book.active["A1"].font = openpyxl.styles.Font(bold=True)
    book.save(file)
    found = find_workbook(file, None, 1)
    assert found is not None

    out = sheet(b"".join(workbook_chunks(file, found, LAYOUT, [(2, ROW)])))

    assert [cell.value for cell in out[2]][1:5] == [4, 0.5, True, DUE]
    assert out["E2"].is_date
    assert (out["A2"].number_format, out["A1"].font.bold) == (
        ("0.00%", True) if styled else ("General", False)
    )


def test_references_of_a_schema_are_followed_and_endless_ones_are_not():
    schema = {
        "$ref": "#/$defs/Answer",
        "$defs": {
            "Answer": {"properties": {"due": {"$ref": "#/$defs/Due"}, "any": {"$ref": "#/$defs/Loop"}}},
            "Due": {"type": ["string", "null"], "format": "date"},
            "Loop": {"$ref": "#/$defs/Loop"},
        },
    }

    assert fields_of(schema) == [AnswerColumn("due", "date"), AnswerColumn("any", None)]
    assert fields_of({"type": "array"}) == fields_of(None) == []
