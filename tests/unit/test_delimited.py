"""The form of a CSV file is found, and what is written in it is the file again."""

import codecs
import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.reading.csv_export import csv_lines
from app.core.reading.layout import Layout, Row
from app.errors import BadInput
from app.ingest.csv_rows import read_rows
from app.ingest.encodings import find_encoding
from app.ingest.forms.delimited import Delimited, find_form
from app.ingest.sheets.rows import EVERYTHING, Choice

TEXT = "id{s}Größe{s}Preis{e}1{s}schön{s}3,50 €{e}"
GERMAN = Delimited(encoding="cp1252", has_mark=False, separator=";", has_decimal_comma=True)
ROW = Row({}, "Good.", "succeeded", None, 12, 3, "0.00007")


def written(form: Delimited) -> bytes:
    text = TEXT.format(s=form.separator, e=form.line_end)
    named = f"sep={form.separator}{form.line_end}" if form.names_separator else ""
    return (("\ufeff" if form.has_mark else "") + named + text).encode(form.encoding)


FORMS = [
    GERMAN,
    replace(GERMAN, encoding="utf-8"),
    replace(GERMAN, encoding="utf-8", has_mark=True, line_end="\n"),
    replace(GERMAN, encoding="utf-16-le", has_mark=True, separator="\t"),
    replace(GERMAN, encoding="utf-16-be", has_mark=True),
    replace(GERMAN, encoding="utf-16-le", separator="|", line_end="\n"),
    replace(GERMAN, encoding="utf-32-be", has_mark=True),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_file_is_written_in_the_form_in_which_it_was_found(form):
    # Given a file in some form
    content = written(form)

    # Then the form is found
    found = find_form(io.BytesIO(content))
    assert found == form

    # And what is written in it has that form, and is read as the same table
    names, *rows = [row.cells for row in read_rows(io.BytesIO(content), EVERYTHING).rows]
    cells = [Row(dict(zip(names, row, strict=True)), "Ja.", "succeeded", None, 1, 1, "0.5") for row in rows]
    out = b"".join(csv_lines(Layout(names), cells, found))
    assert out.decode(form.encoding).endswith(f"{form.separator}0,5{form.line_end}")
    assert [row.cells[:3] for row in read_rows(io.BytesIO(out), EVERYTHING).rows] == [names, *rows]
    assert find_form(io.BytesIO(out)) == form


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_a_line_that_names_the_separator_is_written_again(line):
    found = find_form(io.BytesIO(f"{line}\r\nid,x;text\r\n1;a\r\n".encode()))

    assert (found.separator, found.names_separator) == (";", True)
    assert b"".join(csv_lines(Layout(["id"]), [ROW], replace(found, has_mark=False))).startswith(
        b"sep=;\r\nid;answer;"
    )


def test_lone_carriage_returns_end_lines_again():
    found = find_form(io.BytesIO(b"id;text\r1;good\r"))

    out = b"".join(csv_lines(Layout(["id"]), [replace(ROW, cells={"id": "a\rb"}, answer="x\ny")], found))
    assert out.count(b"\n") == 1
    assert b'\r"a\rb";"x\ny";succeeded' in out
    assert out.endswith(b"\r")


def test_a_line_end_in_a_cell_is_not_that_of_the_lines():
    assert find_form(io.BytesIO(b'"a\nname";b\r\n1;2\r\n')).line_end == "\r\n"


@pytest.mark.parametrize(
    ("sheet", "is_comma"),
    [
        ("id;text\n1;good\n", True),  # a spreadsheet writes semicolons because its comma is the decimal sign
        ("id;price\n1;3,50\n", True),
        ("id;price\n1;1.234,50 €\n", True),
        ("id;price\n1;1'234.50\n", False),
        ("id;price\n1;$ 3.50\n", False),
        ("id;price\n1;3.50\n2;1,234.50\n3;2,5\n", False),
        ("id;date;version\n1;01.02.2025;1,234\n", True),  # thousands, or a decimal sign: it does not tell
        ('id,price\n1,"3,50"\n', False),
        ("id\tprice\n1\t3,50\n", True),
        ("id\tprice\n1\t3.50\n", False),
        ("id\ttext\n1\tgood\n", False),
    ],
)
def test_the_decimal_sign_is_that_of_the_files_own_numbers(sheet, is_comma):
    found = find_form(io.BytesIO(sheet.encode()))

    assert found.has_decimal_comma is is_comma
    cost = "0,00007" if is_comma else "0.00007"
    assert b"".join(csv_lines(Layout(["id"]), [ROW], found)).decode().rstrip().endswith(cost)


@given(st.binary(max_size=300))
def test_any_bytes_have_a_form_or_are_refused_for_their_encoding(content):
    try:
        [row.cells for row in read_rows(io.BytesIO(content), EVERYTHING).rows]
    except BadInput:
        return
    form = find_form(io.BytesIO(content))
    assert codecs.lookup(form.encoding)
    assert form.line_end in ("\r\n", "\n", "\r")


def test_an_encoding_and_a_separator_can_be_named_and_are_kept_for_the_answers():
    content = "name|note\r\nŻółć|a,b\r\n".encode("cp1250")
    choice = Choice(encoding="cp1250", separator=",")

    rows = [row.cells for row in read_rows(io.BytesIO(content), choice).rows]
    form = find_form(io.BytesIO(content), choice)

    assert rows == [["name|note"], ["Żółć|a", "b"]]
    assert (form.encoding, form.has_mark, form.separator) == ("cp1250", False, ",")


def test_a_named_encoding_that_does_not_fit_is_refused_with_the_line():
    with pytest.raises(BadInput, match="line 2: byte 0xbf is not UTF-8: choose another encoding"):
        find_encoding(io.BytesIO("a\r\nż".encode("cp1250")), "utf-8")


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le"])
def test_utf_16_can_be_named_with_a_mark_and_without_one(codec):
    stream = io.BytesIO("名,題\r\n猫,犬\r\n".encode(codec))

    assert [row.cells for row in read_rows(stream, Choice(encoding="utf-16")).rows][1] == ["猫", "犬"]
