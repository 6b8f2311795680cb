"""A table's preview: how it was understood, its first rows, and what they will ask."""

import io

import openpyxl
import pytest

from app.errors import BadInput
from app.ingest.pasted import BY_BLANK_LINES, BY_LINES, as_csv
from app.ingest.previews.tables import PROMPTS, ROWS, prompts_of, read_preview
from app.ingest.sheets.rows import Choice
from app.ingest.templates import compile_template


def preview(content: bytes, **choice):
    return read_preview("csv", io.BytesIO(content), Choice(**choice))


def texts(found, template: str) -> list[tuple[int, str | None]]:
    return [(prompt.number, prompt.text) for prompt in prompts_of(found, compile_template(template))]


def test_what_was_understood_of_a_text_is_told():
    found = preview("Größe;Preis\r\n1;2,50\r\n\r\n;\r\n2;x;y\r\n".encode("cp1252"))

    assert (found.encoding, found.separator, found.header_row) == ("cp1252", ";", 1)
    assert found.columns == ["Größe", "Preis"]
    assert [(row.number, row.fault is None) for row in found.rows] == [(2, True), (5, False)]
    assert found.rows[0].cells == {"Größe": "1", "Preis": "2,50"}
    assert list(found.skipped) == [3, 4]
    assert not found.has_more


def test_only_the_first_rows_are_shown_and_prompts_are_of_rows_with_something_to_ask():
    lines = "".join(f"{number},{'' if number % 2 else 'text'}\n" for number in range(1_000))
    found = preview(f"id,review\n{lines}".encode())

    assert (len(found.rows), found.has_more) == (ROWS, True)
    asked = texts(found, "Sum up: {{ review }} ({{ id }})")
    assert [number for number, _ in asked] == [2, 3, 4]
    assert [number for number, _ in texts(found, "{{ review }}")] == [2, 4, 6]
    assert len(asked) == PROMPTS


def test_a_prompt_that_a_row_does_not_fit_says_why():
    found = preview(b"review\nGood.\n")

    [prompt] = prompts_of(found, compile_template("{{ review.author.name }}"))

    assert (prompt.text, prompt.number) == (None, 2)
    assert "does not fit" in str(prompt.fault)


def test_a_workbook_names_its_sheets_and_hidden_rows():
    book = openpyxl.Workbook()
    book.active.title = "Data"
    book.create_sheet("More").append(["b"])
    for value in ("a", 1, 2):
        book.active.append([value])
    book.active.row_dimensions[3].hidden = True
    book.save(stream := io.BytesIO())

    found = read_preview("xlsx", stream)

    assert (found.sheet, list(found.sheets), found.columns) == ("Data", ["Data", "More"], ["a"])
    assert [(row.number, row.is_hidden) for row in found.rows] == [(2, False), (3, True)]


@pytest.mark.parametrize(
    ("parted", "rows"),
    [
        (BY_LINES, ["one, two", 'three "four"', "five"]),
        (BY_BLANK_LINES, ['one, two\nthree "four"', "five"]),
    ],
)
def test_pasted_texts_become_a_table(parted, rows):
    content = as_csv('\r\none, two\nthree "four"\n \t\r\nfive\n', parted)

    found = preview(content)

    assert found.columns == ["text"]
    assert [row.cells["text"] for row in found.rows] == rows


def test_nothing_pasted_is_refused():
    with pytest.raises(BadInput, match="paste at least one text"):
        as_csv(" \n\n ", BY_LINES)
