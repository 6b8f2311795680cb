"""Tables without a header: their columns are called "column 1" and so on."""

import io

import openpyxl
import pytest

from app.errors import BadInput, NotEditable
from app.ingest.draft import Problems
from app.ingest.forms.workbook import find_workbook
from app.ingest.previews.tables import read_preview
from app.ingest.sheets.rows import Choice
from app.ingest.tables import read_table
from app.ingest.templates import compile_template
from tests.unit.test_tables import DEFAULTS

NONE = Choice(header_row=0)
LINES = b"1;great food;5\n2;cold soup;1\n\n3;too loud;2\n"


def workbook(*rows: list[object]) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(file)
    return file.getvalue()


def asked(format: str, content: bytes, template: str) -> list[str]:
    problems = Problems()
    stream, compiled = io.BytesIO(content), compile_template(template)
    table = read_table(format, stream, DEFAULTS, compiled, problems, max_records=100, choice=NONE)
    ids = [draft.custom_id for draft in table.drafts]
    problems.refuse()
    return ids


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_the_first_row_is_asked_like_the_others(kind):
    content = (
        LINES if kind == "csv" else workbook([1, "great food", 5], [2, "cold soup", 1], [], [3, "too loud"])
    )

    shown = read_preview(kind, io.BytesIO(content), NONE)

    assert shown.columns == ["column 1", "column 2", "column 3"]
    assert [row.number for row in shown.rows] == [1, 2, 4]
    assert shown.header_row == 0
    assert shown.skipped == [3]
    assert [row.cells["column 2"] for row in shown.rows] == ["great food", "cold soup", "too loud"]
    assert len(asked(kind, content, '{{ row["column 2"] }}')) == 3


def test_a_row_wider_than_the_first_ones_is_refused():
    content = LINES + b"4;a;b;c\n"
    wide = LINES + b"5;a;b\n" * 20 + b"4;a;b;c\n"

    assert read_preview("csv", io.BytesIO(content), NONE).columns[-1] == "column 4"
    with pytest.raises(BadInput, match="row 25: the row has 4 cells, but the first rows have 3"):
        asked("csv", wide, '{{ row["column 2"] }}')


@pytest.mark.parametrize("content", [b"", b"\n\n", b";;\n;;\n"])
def test_a_table_with_nothing_in_it_is_refused(content):
    with pytest.raises(BadInput, match="no row with content"):
        read_preview("csv", io.BytesIO(content), NONE)


def test_a_name_that_stands_in_a_row_is_found_there():
    with pytest.raises(BadInput, match="row 1 has it: is the header there"):
        asked("csv", b"id;review\n1;good\n", "{{ review }}")


def test_answers_are_not_added_to_a_sheet_that_could_not_name_them():
    with pytest.raises(NotEditable, match="no header"):
        find_workbook(io.BytesIO(workbook([1, "good"])), None, 0)
