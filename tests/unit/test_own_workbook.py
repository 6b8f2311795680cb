"""A workbook comes back with the answers in columns on its right, and everything else as it came."""

import datetime as dt
import io
import random
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import openpyxl
import pytest
from openpyxl.chart import BarChart, Reference
from openpyxl.styles import Font
from openpyxl.worksheet.table import Table

from app.core.reading.layout import Layout, Row
from app.core.reading.xlsx import zip_stream
from app.core.reading.xlsx.own_workbook import workbook_chunks
from app.errors import BadInput, NotEditable, TooLarge
from app.ingest.forms import workbook as workbooks
from app.ingest.forms.workbook import find_workbook
from app.ingest.xlsx.coordinates import MAX_COLUMNS
from config import settings

ADDED = tuple(Layout([]).added)
SHEET = "xl/worksheets/sheet1.xml"
ROW = Row({}, "=1+1", "succeeded", None, 12, 3, "0.00007")
NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def book(fill: Callable[[openpyxl.Workbook, object], None] | None = None) -> bytes:
    """A workbook of three rows below a header in bold."""
    made, out = openpyxl.Workbook(), io.BytesIO()
    sheet = made.active
    for row in (["id", "text"], [1, "a"], [2, "b"], [3, "c"]):
        sheet.append(row)
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    if fill is not None:
        fill(made, sheet)
    made.save(out)
    return out.getvalue()


def patched(content: bytes, change: Callable[[bytes], bytes], name: str = SHEET) -> bytes:
    """The workbook with one part changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for part in old.namelist():
            new.writestr(part, change(old.read(part)) if part == name else old.read(part))
    return out.getvalue()


def raw(rows: str, head: str = "", prefix: str = "") -> bytes:
    """A workbook whose sheet is this XML."""
    space, p = f"xmlns:{prefix[:-1]}" if prefix else "xmlns", prefix
    data = f"<{p}sheetData>{rows}</{p}sheetData>"
    sheet = f'<{p}worksheet {space}="{NAMESPACE}">{head}{data}</{p}worksheet>'
    return patched(book(), lambda _: sheet.encode())


def answered(content: bytes, numbers: Sequence[int] = (2, 3, 4), header_row: int = 1) -> bytes:
    """The workbook with an answer in each of these rows."""
    file = io.BytesIO(content)
    found = find_workbook(file, None, header_row)
    out = b"".join(
        workbook_chunks(file, found, Layout(["id", "text"]), [(number, ROW) for number in numbers])
    )
    assert zipfile.ZipFile(io.BytesIO(out)).testzip() is None
    return out


def opened(content: bytes) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(content))


def values(content: bytes) -> list[tuple[object, ...]]:
    return list(opened(content).active.iter_rows(values_only=True))


def xml(content: bytes) -> str:
    return zipfile.ZipFile(io.BytesIO(content)).read(SHEET).decode()


DAY = dt.datetime(2025, 2, 1)  # noqa: DTZ001 - a sheet knows no zones
RESULT = ("=1+1", "succeeded", None, None, 12, 3, 0.00007)


def test_the_answers_stand_on_the_right_of_what_the_sheet_uses():
    # When the second of three rows has no answer yet
    out = answered(book(), [2, 4])

    # Then the others have theirs, as text and numbers, and the names look like those before them
    assert values(out) == [
        ("id", "text", *ADDED),
        (1, "a", *RESULT),
        (2, "b", *[None] * 7),
        (3, "c", *RESULT),
    ]
    sheet = opened(out).active
    assert sheet["C2"].data_type == "s"
    assert sheet["C1"].font.b
    assert sheet.dimensions == "A1:I4"


def test_everything_else_is_the_bytes_that_came():
    # Given a workbook with formats, formulas, a table, a filter, a chart, widths and other sheets
    def fill(made: openpyxl.Workbook, sheet: openpyxl.worksheet.worksheet.Worksheet) -> None:
        sheet["B2"] = DAY.date()
        sheet["A3"] = "=1+1"
        sheet.freeze_panes, sheet.column_dimensions["B"].width = "A2", 33
        sheet.add_table(Table(displayName="Data", ref="A1:B4"))
        chart = BarChart()
        chart.add_data(Reference(sheet, min_col=1, min_row=1, max_row=4))
        sheet.add_chart(chart, "A10")
        made.create_sheet("Other")["A1"] = "=SUM(Sheet!A1:A4)"
        made.create_sheet("Hidden").sheet_state = "hidden"

    before = book(fill)
    out = answered(before)

    # Then all parts but the sheet are packed as they were, in their order
    old, new = zipfile.ZipFile(io.BytesIO(before)), zipfile.ZipFile(io.BytesIO(out))
    assert new.namelist() == old.namelist()
    for part in old.infolist():
        same = new.getinfo(part.filename)
        if part.filename != SHEET:
            assert (same.CRC, same.compress_size) == (part.CRC, part.compress_size)
            assert new.read(part.filename) == old.read(part.filename)

    # And the sheet keeps what it had
    sheet = opened(out).active
    assert (sheet["B2"].value, sheet["B2"].number_format) == (DAY, "yyyy-mm-dd")
    assert (sheet["A3"].value, sheet["A3"].data_type) == ("=1+1", "f")
    assert (sheet.freeze_panes, sheet.column_dimensions["B"].width) == ("A2", 33)
    assert (sheet.tables["Data"].ref, len(sheet._charts)) == ("A1:B4", 1)
    assert opened(out).sheetnames == ["Sheet", "Other", "Hidden"]


def test_cells_that_have_only_a_format_give_way():
    # Given cells without a value behind the last column, one of them far behind ours
    rows = (
        '<row r="1" spans="1:20"><c r="A1" t="str"><v>id</v></c><c r="B1" t="str"><v>text</v></c>'
        '<c r="C1" s="1"/></row>'
        '<row r="2"><c r="A2"><v>1</v></c><c r="D2" s="1"></c><c r="T2" s="1"/></row>'
        '<row r="3" s="1" customFormat="1"><c r="A3"/><c r="C3" s="1"/><c r="D3"/></row>'
        '<row r="4" ht="20"/><row r="5"><c r="B5"><v>5</v></c></row>'
    )
    out = answered(raw(rows), [2, 3, 4, 5])

    # Then every cell is there once, and the cells of each row are in order
    assert [row[2:9] for row in values(out)] == [ADDED, RESULT, RESULT, RESULT, RESULT]
    for line in xml(out).split("<row")[1:]:
        places = [part.split('"')[0] for part in line.split('<c r="')[1:]]
        assert len(places) == len(set(places))
        assert [place[:1] for place in places] == sorted(place[:1] for place in places)
    assert "spans" not in xml(out)
    assert '<c r="T2" s="1"/>' in xml(out)
    assert '<row r="4" ht="20"><c r="C4"' in xml(out)


def test_the_xml_of_other_writers_does_as_well():
    # Given a sheet with a prefix, other quotation marks, and places that go without saying
    rows = (
        "<x:row\n r='1'><x:c t='str'><x:v>id</x:v></x:c><x:c t='str'><x:v>text</x:v></x:c></x:row>\n"
        "<x:row ><x:c><x:v>7</x:v></x:c></x:row >"
    )
    out = answered(raw(rows, prefix="x:"), [2])

    assert values(out) == [("id", "text", *ADDED), (7, None, *RESULT)]


def test_formulas_without_a_value_and_merged_cells_are_used():
    formula = raw('<row r="1"><c r="A1" t="str"><v>id</v></c></row><row r="2"><c r="E2"><f>1+1</f></c></row>')
    merged = book(lambda _, sheet: sheet.merge_cells("B3:G3"))

    assert find_workbook(io.BytesIO(formula), None, 1).last_column == 5
    assert find_workbook(io.BytesIO(merged), None, 1).last_column == 7
    assert [cell for cell in values(answered(merged))[0][2:] if cell] == list(ADDED)


def test_what_is_above_the_header_is_in_nobodys_way():
    titled = book(lambda _, sheet: (sheet.insert_rows(1, 2), sheet.merge_cells("A1:Z1")))

    rows = values(answered(titled, [4, 5, 6], header_row=3))
    assert rows[2][:9] == ("id", "text", *ADDED)
    assert rows[3][:9] == (1, "a", *RESULT)


def test_rows_that_a_sheet_leaves_out_are_put_in_their_place():
    sparse = raw('<row r="1"><c r="A1" t="str"><v>id</v></c></row><row r="4"><c r="A4"><v>4</v></c></row>')
    out = answered(sparse, [2, 4, 6])

    assert [row[1] for row in values(out)] == ["answer", "=1+1", None, "=1+1", None, "=1+1"]


def test_columns_that_were_hidden_show_the_answers():
    # Given a sheet that hides all columns behind its own
    def fill(_: openpyxl.Workbook, sheet: openpyxl.worksheet.worksheet.Worksheet) -> None:
        hidden = sheet.column_dimensions["C"]
        hidden.min, hidden.max, hidden.hidden = 3, MAX_COLUMNS, True

    out = answered(book(fill))

    # Then ours are shown and those behind them stay hidden
    sheet = opened(out).active
    assert not any(sheet.column_dimensions[letter].hidden for letter in "CDEFGHI")
    assert sheet.column_dimensions["J"].hidden
    assert sheet.column_dimensions["J"].max == MAX_COLUMNS


def test_answers_are_texts_whatever_they_are():
    file = io.BytesIO(book())
    odd = replace(ROW, answer='</t></is></c><c r="Z9"><f>1+1</f></c>\0 _x0041_', error="\ud83d")
    chunks = workbook_chunks(file, find_workbook(file, None, 1), Layout(["id", "text"]), [(2, odd)])
    sheet = opened(b"".join(chunks)).active

    assert sheet["C2"].value == '</t></is></c><c r="Z9"><f>1+1</f></c>\\u0000 _x005F_x0041_'
    assert (sheet["F2"].value, sheet.dimensions) == ("\\ud83d", "A1:I4")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (raw('<row r="1"><c r="A1" t="str"><v>id</v></c></row><!-- </row> -->'), "something else than rows"),
        (raw('<row r="1"><c r="A1" t="inlineStr"><is><t><![CDATA[</row>]]></t></is></c></row>'), "comments"),
        (raw("", head="<!-- <sheetData> -->"), "an unusual way"),
        (raw('<row r="1"><c r="A1" x=">"/><c r="B1" x=">"/></row>'), "cells of an unusual form"),
        (patched(book(), lambda sheet: sheet.decode().encode("utf-16")), "no rows"),
        (book(lambda _, sheet: sheet.cell(2, MAX_COLUMNS, "x")), "the last of the 16,384 columns"),
    ],
    ids=["comment", "cdata", "head", "cell", "utf-16", "full"],
)
def test_a_sheet_to_which_nothing_can_be_added_says_why(content, why):
    with pytest.raises(NotEditable, match=why):
        find_workbook(io.BytesIO(content), None, 1)


def test_a_workbook_that_is_too_large_says_so(monkeypatch):
    content = book()
    monkeypatch.setattr(workbooks, "MAX_SHEET_BYTES", 100)
    with pytest.raises(NotEditable, match="its sheet has over 100 bytes, unpacked"):
        find_workbook(io.BytesIO(content), None, 1)

    monkeypatch.setenv("MAX_WORKBOOK_BYTES", "1000")
    settings.current.cache_clear()
    with pytest.raises(
        NotEditable, match=rf"{len(content):,} bytes, and the limit is 1,000 \(MAX_WORKBOOK_BYTES\)"
    ):
        find_workbook(io.BytesIO(content), None, 1)
    settings.current.cache_clear()


ODD_CELL = '<c r="A1" x=">"/>'


@pytest.mark.parametrize(
    ("rows", "head"),
    [
        (f'<row r="1">{ODD_CELL * 200_000}</row>', ""),
        (f'<row r="1">{"<c/>" * 150_000}</row>', ""),
        ("<row/>" * 100_000, ""),
        (
            '<row r="1"><c r="A1"><v>1</v></c></row>',
            f'<cols><col {"a" * 200_000}="" min="1" max="2"/></cols>',
        ),
        ('<row r="1"><c r="A1"><v>1</v></c></row>', "<?a " + "<?xml " * 100_000 + "?>"),
    ],
    ids=["cells", "empty-cells", "empty-rows", "attribute", "instructions"],
)
def test_a_sheet_of_odd_xml_costs_no_more_than_another(rows, head):
    file, began = io.BytesIO(raw(rows, head)), time.process_time()
    try:
        found = find_workbook(file, None, 1)
        for _ in workbook_chunks(file, found, Layout(["id"]), [(2, ROW)]):
            pass
    except (BadInput, NotEditable):
        pass

    # Generous: searching each of them anew from every place takes minutes
    assert time.process_time() - began < 5


def test_a_sheet_that_outgrows_its_archive_breaks_off(monkeypatch):
    monkeypatch.setattr(zip_stream, "MAX_BYTES", 1_000)
    with pytest.raises(TooLarge, match="larger than an archive can hold"):
        answered(book())


def test_a_workbook_is_sent_while_its_answers_are_read():
    # Given a long sheet and answers that do not pack
    file, taken, noise = io.BytesIO(), 0, random.Random(1)
    made = openpyxl.Workbook(write_only=True)
    sheet = made.create_sheet()
    for number in range(3_000):
        sheet.append([number, "text"])
    made.save(file)

    def rows() -> object:
        nonlocal taken
        for taken in count(2):
            yield taken, replace(ROW, answer=noise.randbytes(200).hex())

    # When the first of its pieces are read, then not many answers were, and none is once it is left
    pieces = workbook_chunks(file, find_workbook(file, None, 1), Layout(["id", "text"]), rows())
    size = 0
    while size < 100_000:
        size += len(next(pieces))
    assert taken < 1_500
    before = taken
    pieces.close()
    assert taken == before
