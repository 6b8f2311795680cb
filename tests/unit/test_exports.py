"""Exports: what was asked comes back with its answer, and no answer can break the file or the reader."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.reading.csv_export import csv_lines
from app.core.reading.layout import Layout, Row
from app.core.reading.xlsx import export
from app.core.reading.xlsx.cells import MAX_CELL_UNITS
from app.core.reading.xlsx.export import xlsx_chunks
from app.ingest.draft import Defaults, Problems
from app.ingest.tables import read_csv
from app.ingest.templates import compile_template
from app.web.results.downloads import charset

ROW = Row(
    cells={"id": "007", "review": 'Nice, but "loud"\n'},
    answer="Mixed.",
    status="succeeded",
    error=None,
    input_tokens=12,
    output_tokens=3,
    cost="0.000027",
    stop_reason="max_tokens",
)
COLUMNS = ["id", "review"]
EXAMPLE = Path(__file__).parents[2] / "examples" / "reviews.csv"


def as_csv(columns: list[str], rows: Iterable[Row], *, raw: bool = False) -> list[list[str]]:
    text = b"".join(csv_lines(Layout(columns), rows, raw=raw)).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline="")))


def as_xlsx(columns: list[str], rows: Iterable[Row]) -> list[list[object]]:
    book = openpyxl.load_workbook(io.BytesIO(b"".join(xlsx_chunks(Layout(columns), rows))))
    return [list(row) for sheet in book for row in sheet.iter_rows(values_only=True)]


def answered(*answers: str | None) -> list[Row]:
    return [replace(ROW, answer=answer) for answer in answers]


def test_the_answers_stand_beside_the_columns():
    assert as_csv(COLUMNS, [ROW]) == [
        ["id", "review", "answer", "status", "stop_reason", "error", "input_tokens", "output_tokens", "cost"],
        ["007", 'Nice, but "loud"\n', "Mixed.", "succeeded", "max_tokens", "", "12", "3", "0.000027"],
    ]
    assert as_xlsx(COLUMNS, [ROW]) == [
        ["id", "review", "answer", "status", "stop_reason", "error", "input_tokens", "output_tokens", "cost"],
        ["007", 'Nice, but "loud"\n', "Mixed.", "succeeded", "max_tokens", None, 12, 3, 0.000027],
    ]


def test_a_column_of_the_input_keeps_its_name():
    assert Layout(["answer", "cost", "penstock_cost"]).header == [
        *("answer", "cost", "penstock_cost", "penstock_answer", "status", "stop_reason", "error"),
        *("input_tokens", "output_tokens", "penstock_penstock_cost"),
    ]


def test_a_record_without_an_answer_has_empty_cells():
    # Given a record that failed, and one that was never asked
    failed = replace(
        ROW, answer=None, stop_reason=None, status="failed", error="timeout: no answer within 600 s"
    )
    waiting = Row({"id": "8"}, None, "pending", None, None, None, None)

    # Then both have their row
    assert as_csv(COLUMNS, [failed, waiting])[1:] == [
        [
            "007",
            ROW.cells["review"],
            "",
            "failed",
            "",
            "timeout: no answer within 600 s",
            "12",
            "3",
            "0.000027",
        ],
        ["8", "", "", "pending", "", "", "", "", ""],
    ]
    assert as_xlsx(COLUMNS, [waiting])[1] == ["8", None, None, "pending", None, None, None, None, None]


def test_an_export_without_records_has_its_header():
    assert len(as_csv(COLUMNS, [])) == 1
    assert len(as_xlsx(COLUMNS, [])) == 1


def test_typed_cells_come_back_typed_in_a_sheet_and_readable_in_csv():
    cells = {"n": 5, "part": 2.5, "truth": True, "big": 12345678901234567890, "list": ["é"], "none": None}
    row = replace(ROW, cells=cells)

    assert as_xlsx(list(cells), [row])[1][:6] == [5, 2.5, True, "12345678901234567890", '["é"]', None]
    assert as_csv(list(cells), [row])[1][:6] == ["5", "2.5", "true", "12345678901234567890", '["é"]', ""]


FORMULAS = ["=1+1", '=HYPERLINK("http://x")', "{=1+1}", "+1", "-1", "@SUM(A1)", "\t=1", "#N/A", "#REF!", "="]
# Taken for rich text this would close its cell and open others.
SMUGGLED = '<r><t>x</t></r></is></c><c r="Z9"><f>1+1</f></c><c r="A9" t="inlineStr"><is><r><t>y</t></r>'


@pytest.mark.parametrize("answer", [*FORMULAS, SMUGGLED, "<r></r>"])
def test_no_answer_becomes_a_formula_in_a_sheet(answer):
    # Given an answer, and a cell of the input, that a spreadsheet would evaluate
    row = replace(ROW, answer=answer, cells={"id": answer})
    book = openpyxl.load_workbook(io.BytesIO(b"".join(xlsx_chunks(Layout(["id"]), [row]))))

    # Then both are typed as text
    cells = [cell for cell in book.active[2] if cell.column in (1, 2)]
    assert [(cell.value, cell.data_type) for cell in cells] == [(answer, "s"), (answer, "s")]
    assert book.active.dimensions == "A1:H2"


EVALUATED = [
    "=1+1",
    '=HYPERLINK("http://x")',
    "+1+1",
    "-1-1",
    "- a list",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "=",
    "-",
]
HARMLESS = ["-5", "+3.2", "-1.234,50", "-1e-7", "-12%", "-.5", "{=1+1}", "#N/A", " =1", "a=1", "'=1", ""]


@pytest.mark.parametrize("text", EVALUATED)
def test_csv_keeps_a_spreadsheet_from_evaluating_a_cell(text):
    # Given a text that a spreadsheet would evaluate, as an answer, an error, a cell and the name of a column
    row = replace(ROW, cells={text: text}, answer=text, error=text)

    # Then there is an apostrophe before each of them, unless it is asked for without
    names, cells = as_csv([text], [row])
    assert names[0] == f"'{text}"
    assert (cells[0], cells[1], cells[4]) == (f"'{text}",) * 3
    names, cells = as_csv([text], [row], raw=True)
    assert names[0] == text
    assert (cells[0], cells[1], cells[4]) == (text,) * 3


@pytest.mark.parametrize("text", HARMLESS)
def test_csv_leaves_what_is_harmless_as_it_is(text):
    assert as_csv(COLUMNS, answered(text))[1][2] == text


def test_what_a_format_cannot_hold_is_shown_by_its_code():
    odd = "a\0b \ud83d \x0b \ufffe"

    assert as_csv(COLUMNS, answered(odd))[1][2] == "a\\u0000b \\ud83d \x0b \ufffe"
    assert as_xlsx(COLUMNS, answered(odd))[1][2] == "a\\u0000b \\ud83d \\u000b \\ufffe"


def test_what_excel_would_decode_is_coded_for_it():
    assert as_xlsx(COLUMNS, answered("_x0041_ _xyz_"))[1][2] == "_x005F_x0041_ _xyz_"


def test_every_end_of_a_line_is_a_line_feed_in_a_sheet():
    assert as_xlsx(COLUMNS, answered("a\r\nb\rc\nd"))[1][2] == "a\nb\nc\nd"


@pytest.mark.parametrize("character", ["x", "é", "😀"])
def test_an_answer_that_no_cell_can_hold_is_cut_with_a_note(character):
    # Given answers of exactly what a cell holds, and of one character more
    most = MAX_CELL_UNITS // (len(character.encode("utf-16-le")) // 2)
    fits, too_long = character * most, character * (most + 1)
    shown = [row[2] for row in as_xlsx(COLUMNS, answered(fits, too_long))[1:]]

    # Then the first is whole, and the second says what it was
    assert shown[0] == fits
    assert shown[1].startswith(character * 10_000)
    assert shown[1].endswith(f"{character}… [cut: {most + 1:,} characters in all]")
    assert len(shown[1].encode("utf-16-le")) // 2 <= MAX_CELL_UNITS

    # And CSV, which has no such limit, has all of it
    assert as_csv(COLUMNS, answered(too_long))[1][2] == too_long


def test_csv_comes_in_pieces_and_never_waits_for_the_end():
    taken = 0

    def rows() -> Iterator[Row]:
        nonlocal taken
        for taken in range(1, 10_001):  # noqa: B007
            yield ROW

    # When the first piece is read, then no more rows were read than it takes
    pieces = csv_lines(Layout(COLUMNS), rows())
    first = next(pieces)
    assert 64_000 <= len(first) < 70_000
    assert taken < 2_000
    assert all(len(piece) < 70_000 for piece in pieces)


def test_more_rows_than_a_sheet_holds_go_on_in_another():
    book = openpyxl.load_workbook(io.BytesIO(b"".join(xlsx_chunks(Layout(COLUMNS), [ROW] * 7, sheet_rows=4))))

    assert [sheet.title for sheet in book] == ["answers", "answers1", "answers2"]
    assert [sheet.max_row for sheet in book] == [4, 4, 2]
    assert all(sheet["C1"].value == "answer" for sheet in book)


def test_more_text_than_a_sheet_should_hold_goes_on_in_another(monkeypatch):
    monkeypatch.setattr(export, "MAX_SHEET_BYTES", 2_150)
    book = openpyxl.load_workbook(
        io.BytesIO(b"".join(xlsx_chunks(Layout(COLUMNS), answered(*["x" * 900] * 5))))
    )

    assert [sheet.max_row for sheet in book] == [3, 3, 2]


def test_a_workbook_comes_in_pieces_and_never_waits_for_the_end():
    taken = 0

    def rows() -> Iterator[Row]:
        nonlocal taken
        while True:
            taken += 1
            yield replace(ROW, answer=f"Mixed, as row {taken} has it.")

    # When the first piece is read, then only its rows were read, and no more follow once it is left
    pieces = xlsx_chunks(Layout(COLUMNS), rows())
    assert next(pieces)
    assert taken < 20_000
    before = taken
    pieces.close()
    assert taken == before


def test_a_workbook_that_breaks_off_says_so():
    def rows() -> Iterator[Row]:
        yield ROW
        raise ConnectionError("the database went away")

    with pytest.raises(ConnectionError):
        list(xlsx_chunks(Layout(COLUMNS), rows()))


ENDLESS = """
from itertools import repeat
from app.core.reading.layout import Layout, Row
from app.core.reading.xlsx.export import xlsx_chunks
row = Row({"id": "1"}, "A secret answer.", "succeeded", None, 1, 1, "0.1")
for count, _ in enumerate(xlsx_chunks(Layout(["id"]), repeat(row))):
    if count == 3:
        print("begun", flush=True)
"""


@pytest.mark.parametrize("folder", ["TMPDIR", "PENSTOCK_DATA"])
def test_a_workbook_whose_process_is_killed_leaves_nothing_behind(tmp_path, folder):
    # Given a process that is killed in the middle of an export
    environment = {**os.environ, folder: str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout.readline() == b"begun\n"
        process.kill()

    # Then no file has an answer in it
    assert list(tmp_path.iterdir()) == []


PLAIN = st.text(st.characters(), max_size=30)
TEXT = PLAIN | PLAIN.map("<r>{}</r>".format)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=5))
def test_any_text_makes_files_that_can_be_read(texts):
    rows = [replace(ROW, cells={"id": a, "review": b}, answer=c) for a, b, c in texts]

    assert len(as_xlsx(COLUMNS, rows)) == len(rows) + 1
    shown = as_csv(COLUMNS, rows)[1:]
    for row, (a, b, c) in zip(shown, texts, strict=True):
        assert row[:3] == [
            text.encode("utf-8", "backslashreplace").decode().replace("\0", r"\u0000") for text in (a, b, c)
        ]


def test_the_example_sheet_comes_back_cell_by_cell():
    # Given the example, read as a submission reads it
    defaults = Defaults(model="simulated", max_tokens=100)
    template = compile_template("{{ row|tojson }}")
    table = read_csv(io.BytesIO(EXAMPLE.read_bytes()), defaults, template, Problems(), max_records=1_000)
    rows = [replace(ROW, cells=json.loads(draft.body)["row"]) for draft in table.drafts]

    # Then every cell is in the export what it was in the file
    with EXAMPLE.open(encoding="utf-8", newline="") as file:
        original = [row for row in csv.reader(file) if any(row)]
    assert [row[:5] for row in as_csv(table.columns, rows, raw=True)] == original
    assert [[cell or "" for cell in row[:5]] for row in as_xlsx(table.columns, rows)] == original


def test_an_encoding_has_the_name_that_the_web_knows():
    names = {name: charset(name) for name in ("cp1250", "mac_roman", "iso8859_15", "koi8_r")}
    assert list(names.values()) == ["windows-1250", "macintosh", "iso-8859-15", "koi8-r"]
