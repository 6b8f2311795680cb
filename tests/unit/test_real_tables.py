"""Tables as people have them: each is asked as its author means it, or a sentence says why not."""

import datetime as dt
import io
import json
import re
from collections.abc import Callable
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadInput
from app.ingest.draft import Defaults, Problems
from app.ingest.forms.workbook import find_workbook
from app.ingest.jsonl import read_jsonl
from app.ingest.sheets.kinds import find_kind
from app.ingest.sheets.rows import Choice
from app.ingest.tables import read_csv, read_xlsx
from app.ingest.template_hints import stray_place
from app.ingest.templates import compile_template
from app.ingest.xlsx.formats import NumberFormat

DEFAULTS = Defaults(model="simulated", max_tokens=100)
MAIN = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STRICT = b"http://purl.oclc.org/ooxml/spreadsheetml/main"
STRICT_RELATIONS = b"http://purl.oclc.org/ooxml/officeDocument/relationships"


class Asked:
    """What a file asks with a template."""

    def __init__(self, data: bytes, template: str, **choice: Any) -> None:
        problems = Problems()
        read = read_xlsx if data.startswith(b"PK") else read_csv
        compiled = compile_template(template)
        chosen = Choice(**choice)
        table = read(io.BytesIO(data), DEFAULTS, compiled, problems, max_records=1_000, choice=chosen)
        drafts = list(table.drafts)
        self.prompts = [table.template.render(json.loads(draft.body)["row"]) for draft in drafts]
        self.ids = [draft.custom_id for draft in drafts]
        self.skipped, self.notes, self.problems = table.skipped, table.notes(), problems.listed


def refusal(data: bytes, template: str, **choice: Any) -> str:
    with pytest.raises(BadInput) as caught:
        Asked(data, template, **choice)
    return caught.value.message


def book(*rows: list[Any], change: Callable[[Any], object] = lambda sheet: None) -> bytes:
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    change(workbook.active)
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def patched(data: bytes, end: str, *changes: tuple[bytes, bytes]) -> bytes:
    file = io.BytesIO()
    with ZipFile(io.BytesIO(data)) as source, ZipFile(file, "w", ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            for old, new in changes if name.endswith(end) else ():
                content = content.replace(old, new)
            target.writestr(name, content)
    return file.getvalue()


# What makes no sense is not asked


def test_rows_with_nothing_where_the_template_looks_are_not_asked_and_told():
    asked = Asked("id,review\n1,\n2,   \n3,\u200b\n4,ok\n".encode(), "Judge: {{ review }}")

    assert (asked.prompts, asked.skipped) == (["Judge: ok"], [2, 3, 4])
    assert asked.notes == ['3 rows have nothing in "review" and are not asked']
    assert refusal(b"id,review\n1,\n2,\n", "{{ review }}") == (
        'every row is empty in "review": there is nothing to ask'
    )


def test_a_row_that_lacks_a_part_is_asked_and_told():
    asked = Asked(b"id,review\n1,\n2,ok\n", "{{ id }}: {{ review }}")

    assert asked.prompts == ["1: ", "2: ok"]
    assert asked.notes == ['1 row has nothing in "review" and is asked without it']


def test_the_error_of_a_formula_in_a_csv_is_told():
    asked = Asked(b"id,review\n#REF!,#N/A\n2,ok\n", "{{ review }}")

    assert asked.prompts == ["#N/A", "ok"]
    assert asked.notes == ['1 row has the error of a formula, such as #N/A, in "review" and is asked with it']


def test_what_a_program_writes_for_an_empty_cell_is_told():
    asked = Asked(b"id,review\n1,\\N\n2,NaN\n3,NaN\n4,ok\n", "{{ review }}")

    assert asked.prompts == ["\\N", "NaN", "NaN", "ok"]
    assert asked.notes[0].startswith(
        '2 rows have "NaN" in "review", which some programs write for an empty cell'
    )
    assert asked.notes[1].endswith("and is asked with it")


TOTALS = "product,note,amount\nA,fine,5\nB,bad,6\n{},,11\n"


@pytest.mark.parametrize(
    ("word", "template", "count", "what"),
    [
        ("Summe", "{{ product }}: {{ note }}", 2, "not asked"),
        ("", "{{ note }} {{ amount }}", 2, "not asked"),
        ("Grand total:", "{{ product }}", 3, "asked like the others"),
    ],
)
def test_a_row_of_totals_at_the_end_is_never_asked_in_silence(word, template, count, what):
    asked = Asked(TOTALS.format(word).encode(), template)

    assert len(asked.prompts) == count
    assert any("row 4, the last one, looks like a total" in note and what in note for note in asked.notes)


def test_totals_of_groups_are_never_asked_in_silence():
    groups = b"East,fine,5\nEast,bad,3\nEast Total,,8\nWest,x,1\nSubtotal:,,1\n"
    data = b"region,note,amount\n" + groups + b"Grand Total,,9\n"
    asked = Asked(data, "{{ region }}: {{ note }}")
    assert (asked.prompts, asked.skipped) == (["East: fine", "East: bad", "West: x"], [4, 6, 7])
    assert asked.notes[0] == "rows 4, 6 look like totals, and are not asked"
    asked = Asked(data, "{{ region }}")
    assert (len(asked.prompts), asked.notes[0]) == (
        6,
        "rows 4, 6 look like totals, and are asked like the others",
    )

    opinions = b"review,stars\ngood,4\nTotal waste of money,1\nbad,2\nok,3\n"
    assert Asked(opinions, "{{ review }}").notes == []


@pytest.mark.parametrize("word", ["Summe", None])
def test_a_total_may_be_a_formula_without_a_value(word):
    data = book(
        ["product", "note", "amount"],
        ["A", "fine", 5],
        ["B", "bad", 3],
        [word, None, "=SUM(C2:C3)"],
    )
    asked = Asked(data, "{{ product }}: {{ note }} {{ amount }}")
    assert (asked.prompts, asked.problems) == (["A: fine 5", "B: bad 3"], [])
    assert "row 4, the last one, looks like a total" in asked.notes[0]
    assert asked.notes[0].endswith("and is not asked")


@pytest.mark.parametrize("word", ["Average", "Durchschnitt:", "Moyenne", "Mean"])
def test_a_mean_at_the_end_is_told_like_a_total(word):
    data = f"product,note,amount\nA,fine,5\nB,bad,6\n{word},,5.5\n".encode()
    assert "looks like a total" in Asked(data, "{{ product }}").notes[0]


def test_rows_that_are_left_out_are_listed_in_their_order():
    data = TOTALS.format("Summe").encode() + b",,\n,,\n"
    assert Asked(data, "{{ product }}: {{ note }}").skipped == [4, 5, 6]


def test_a_last_row_like_the_others_is_no_total():
    for last in ("C,ok,7", "C,,7", "5,5,5"):
        data = f"product,note,amount\nA,fine,5\nB,bad,6\n{last}\n".encode()
        assert len(Asked(data, "{{ product }} {{ amount }}").prompts) == 3 or last == "5,5,5"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("Judge: {First Name}", '{First Name} is not filled in, write {{ row["First Name"] }}'),
        ("Judge: [note]", "[note] is not filled in, write {{ note }}"),
        ("Say hello", 'write {{ note }} where the row\'s cell belongs; the columns are "note", "First Name"'),
    ],
)
def test_a_template_without_a_column_is_refused_with_the_way_out(template, said):
    data = b"note,First Name\nx,A\ny,B\n"
    assert refusal(data, template).endswith(said)
    assert len(Asked(data, template, rows=1).prompts) == 1


@pytest.mark.parametrize("name", ["First Name", "Größe (cm)", "E-Mail", "Preis €", "a/b", "What's new?"])
def test_a_name_that_is_more_than_a_word_is_shown_as_a_template_writes_it(name):
    with pytest.raises(BadInput) as caught:
        Asked(f"{name}\nx\n".encode(), f"{{{{ {name} }}}}")
    way_out = f'{{{{ row["{name}"] }}}}'
    assert way_out in caught.value.message
    assert Asked(f"{name},b\nx,y\n".encode(), way_out).prompts == ["x"]


# Headers


def test_a_column_without_a_name_gets_one_and_is_kept():
    assert Asked(b",review\n0,good\n1,bad\n", '{{ row["column 1"] }} {{ review }}').prompts == [
        "0 good",
        "1 bad",
    ]
    assert Asked(b",review\n0,good\n", "{{ review }}").notes == [
        'a column has no name in the header and is called "column 1"'
    ]


def test_a_column_without_a_name_at_the_end_of_a_header_is_one_if_it_has_content():
    asked = Asked(b"id,review,\n1,good,x\n2,bad,\n", '{{ review }} {{ row["column 3"] }}')
    assert asked.prompts == ["good x", "bad "]
    assert Asked(b"id,review,,\n1,good,,\n", "{{ row|tojson }}").prompts == ['{"id":"1","review":"good"}']
    [problem] = Asked(b"id,review,\n" + b"1,good,\n" * 30 + b"2,bad,x\n", "{{ review }}").problems
    assert "name the others in row 1" in problem["message"]
    title = b"Report,June,\nid,review,stars\n1,good,5\n"
    assert "is the header in row 2?" in refusal(title, "{{ row|tojson }}")


def test_every_fault_of_a_header_is_told_at_once():
    with pytest.raises(BadInput) as caught:
        Asked(b"a,b,a,b\n1,2,3,4\n", "{{ a }}")
    assert len(caught.value.details["problems"]) == 2


TITLE = "row 1 has 1 name, row 3 has 3: is the header in row 3? Then give header_row=3 (--header-row 3)"


@pytest.mark.parametrize("template", ["{{ review }}", "{{ row|tojson }}"])
def test_a_title_above_the_header_is_seen(template):
    lines = b"Report June,,\n,,\nid,review,stars\n1,good,5\n"
    sheet = book(["Report June"], [], ["id", "review", "stars"], [1, "good", 5])

    assert refusal(lines, template).startswith(TITLE)
    assert refusal(sheet, template) == TITLE
    assert refusal(b"Report, June\n\nid;review;stars\n1;good;5\n2;bad;4\n", template).startswith(TITLE)
    for data in (lines, sheet):
        assert Asked(data, "{{ review }}", header_row=3).prompts == ["good"]
    assert "ends before row 9" in refusal(lines, template, header_row=9)


@pytest.mark.parametrize(
    "data",
    [
        b'sep=;\r\nid;review\r\n1;"a;b"\r\n',
        b'\xef\xbb\xbf"SEP=;"\r\nid;review\r\n1;"a;b"\r\n',
        b"sep=^\rid^review\r1^a;b\r",
        b"\xef\xbb\xbf" * 3 + b'review,id\r\n"a;b",1\r\n',
        "id,\u200breview\ufeff \n1,a;b\n".encode(),
        b"id,review\r\n1,a;b\r\n\x1a",
        b"id,review\r\n1,a;b\r\n" + b"\0" * 500,
        b"id,review\r\n\0\0,a;b\r\n",
        "id\treview\r\n1\ta;b\r\n".encode("utf-16"),
    ],
    ids=range(9),
)
def test_marks_of_other_programs_are_no_content(data):
    assert Asked(data, "{{ review }}").prompts == ["a;b"]


def test_what_cannot_be_seen_in_a_name_is_shown():
    assert '"re\\u200bview"' in refusal("re\u200bview,id\nx,1\n".encode(), "{{ review }}")


def test_a_nul_within_a_text_and_a_quotation_mark_behind_a_backslash_are_named():
    assert Asked(b"id,t\n1,go\0od\n", "{{ id }}").problems[0]["message"].startswith("B2 holds a NUL")
    assert "doubled" in refusal(b'id,t\n1,"a \\"b\\", c"\n', "{{ t }}")


# Encodings

WESTERN = {
    "de": "Die Größe passt, schöne Farbe\ngerne für Mädchen",
    "es": "El año pasado compré café en Bogotá, ¿qué tal?\nLa señora María llegó mañana",
}


@pytest.mark.parametrize("encoding", ["cp1252", "mac_roman", "cp850", "cp437"])
@pytest.mark.parametrize("end", ["\n", "\r"])
@pytest.mark.parametrize("language", WESTERN)
def test_the_encoding_of_a_western_text_is_known(encoding, end, language):
    lines = WESTERN[language].splitlines()
    data = end.join(["id;text", *(f'1;"{line}"' for line in lines)]).encode(encoding)

    assert Asked(data, "{{ text }}").prompts == lines


@pytest.mark.parametrize(
    "text", ["¿Qué tal? El niño comió aquí\r¡Fantástico! España, corazón", "mañana, corazón, niño, año"]
)
def test_lines_that_end_as_on_old_macs_speak_for_their_encoding(text):
    lines = text.split("\r")
    data = "\r".join(["id;text", *(f"1;{line}" for line in lines), ""]).encode("mac_roman")
    assert Asked(data, "{{ text }}").prompts == lines


@pytest.mark.parametrize(
    "text", ["Prix 5 € très cher, œuf, cœur, là-bas", "Il coûte 7 €, mais c'était prévu"]
)
def test_the_euro_of_unix_is_known_among_words(text):
    assert Asked(f"id;text\n1;{text}\n".encode("iso8859_15"), "{{ text }}").prompts == [text]
    windows = "It´s ½cup crème brûlée, 1½ à 2½kg"
    assert Asked(f"id;text\n1;{windows}\n".encode("cp1252"), "{{ text }}").prompts == [windows]


@pytest.mark.parametrize("encoding", ["mac_roman", "cp850"])
def test_too_little_to_know_an_encoding_is_refused(encoding):
    assert "save it as UTF-8" in refusal("id,text\n1,café au lait\n".encode(encoding), "{{ text }}")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_lines_are_read_in_the_encoding_that_their_mark_says(encoding):
    data = '{"prompt": "é"}\r\n\n{"prompt": "ü"}\n\x1a'.encode(encoding)
    problems = Problems()
    drafts = list(read_jsonl(io.BytesIO(data), DEFAULTS, None, problems, max_records=9))

    assert ([json.loads(draft.body)["prompt"] for draft in drafts], problems.listed) == (["é", "ü"], [])
    first = list(read_jsonl(io.BytesIO(data), DEFAULTS, None, problems, max_records=9, rows=1))
    assert first == drafts[:1]


# Workbooks


def test_a_formula_without_a_value_is_a_fault_where_it_is_used():
    data = book(["id", "label"], [1, '=UPPER("x")'])

    assert Asked(data, "{{ label }}").problems == [
        {
            "where": 'row 2, column "label"',
            "message": "B2 holds a formula without a saved value: open the file in a spreadsheet and save it",
        }
    ]
    assert Asked(data, "{{ id }}").notes == [
        'column "label": 1 cell holds a formula without a saved value; the template does not use it'
    ]
    saved = patched(
        data, "sheet1.xml", (b"<v />", b"<v>X</v>"), (b"<v></v>", b"<v>X</v>"), (b'r="B2"', b'r="B2" t="str"')
    )
    assert Asked(saved, "{{ label }}", rows=1).prompts == ["X"]


def test_an_error_is_a_fault_where_it_is_used():
    data = book(["id", "label"], [1, "#N/A"])

    assert Asked(data, "{{ label }}").problems[0]["message"].startswith("B2 holds the error #N/A")
    assert Asked(data, "{{ id }}").prompts == ["1"]


@pytest.mark.parametrize(
    ("end", "changes"),
    [
        ("styles.xml", [(b"<fill><patternFill /></fill>", b"<fill />")]),
        ("styles.xml", [(b"<fonts", b"<fonts extLst='1'")]),
        ("core.xml", [(b"<", b"<<")]),
        ("", [(MAIN, STRICT), (RELATIONS, STRICT_RELATIONS)]),
    ],
    ids=["fill", "extLst", "properties", "strict"],
)
def test_a_workbook_of_another_program_is_read(end, changes):
    assert Asked(patched(book(["a"], ["x"]), end, *changes), "{{ a }}").prompts == ["x"]


def test_merged_cells_are_carried_down_into_rows_with_content():
    rows = [["category", "item"], ["Fruit", "apple"], [None, "pear"], [None, None], ["Nuts", "almond"]]
    data = book(*rows, change=lambda sheet: sheet.merge_cells("A2:A4"))
    asked = Asked(data, "{{ category }}: {{ item }}")

    assert asked.prompts == ["Fruit: apple", "Fruit: pear", "Nuts: almond"]
    assert asked.notes == ["what stands in merged cells (A2:A4) is carried down into 1 cell below"]


def test_hidden_rows_are_told_and_left_out_on_request():
    def hide(sheet: Any) -> None:
        sheet.row_dimensions[3].hidden = True

    data = book(["a"], ["x"], ["y"], ["z"], change=hide)

    assert Asked(data, "{{ a }}").prompts == ["x", "y", "z"]
    assert "of 3 rows 1 is hidden, and asked like the others" in Asked(data, "{{ a }}").notes[0]
    asked = Asked(data, "{{ a }}", visible_only=True)
    assert (asked.prompts, asked.notes) == (["x", "z"], ["of 3 rows 1 is hidden and left out"])


def test_the_sheet_is_told_and_chosen():
    def add(sheet: Any) -> None:
        sheet.title = "Umsatz"
        other = sheet.parent.create_sheet("Zweites")
        other.append(["b"])
        other.append(["y"])
        other.sheet_state = "hidden"

    data = book(["a"], ["x"], change=add)

    assert (
        Asked(data, "{{ a }}")
        .notes[0]
        .startswith('the sheet "Umsatz" is read; the workbook also has "Zweites"')
    )
    for name in ("Zweites", " zweites", "2"):
        assert Asked(data, "{{ b }}", sheet=name).prompts == ["y"]
    assert refusal(data, "{{ b }}", sheet="no") == (
        'sheet: the workbook has no sheet "no"; it has "Umsatz", "Zweites"'
    )
    assert "only a workbook has sheets" in refusal(b"a\n1\n", "{{ a }}", sheet="a")


@pytest.mark.parametrize(
    ("code", "number", "shown"),
    [
        ("00000", 501, "00501"),
        ("00000\\-0000", 123456789, "12345-6789"),
        ("0%", 0.15, "15%"),
        ("0.0%", 0.155, "15.5%"),
        ("0", 4001234567890100.0, 4001234567890100),
        ("0", 2.5, 3),
        ("0.00", 2, "2.00"),
        ("0.00", 0.15, 0.15),
        ("#,##0", 1234, 1234),
        ('#,##0.00\\ "€"', 1234.5, "1234.50 €"),
        ("[$€-407]0.0", 1.25, "€1.3"),
        ("0.00;[Red]-0.00", -3, "-3.00"),
        ("0;(0)", -3, "(3)"),
        ('0;-0;"none"', 0, "none"),
        ('0.0,, "m"', 2_500_000, "2.5 m"),
        ("# ?/?", 0.5, 0.5),
        ("0.00E+00", 1234.5, 1234.5),
        ("General", 0.1 + 0.2, 0.3),
        ('General" kg"', -2.5, "-2.5 kg"),
        ('"Nr. "General', 7, "Nr. 7"),
        ("General;[Red]-General", -7, -7),
    ],
)
def test_a_number_is_as_the_sheet_shows_it(code, number, shown):
    assert NumberFormat(code).shown(number) == shown


@given(
    st.text('0#?.,%;"\\_*[]$€-@ /Ea', max_size=30),
    st.integers() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_format_shows_any_number_somehow(code, number):
    assert isinstance(NumberFormat(code).shown(number), str | int | float)


def test_names_of_records_and_lengths_of_time_are_as_shown():
    def form(sheet: Any) -> None:
        sheet["A2"].number_format, sheet["B2"].number_format = "00000", "[h]:mm"

    asked = Asked(book(["custom_id", "t"], [501, 2.5], change=form), "{{ t }}")
    assert (asked.prompts, asked.ids) == (["60:00"], ["00501"])


# Kinds of files


@pytest.mark.parametrize(
    ("data", "named", "kind"),
    [
        (book(["a"]), "csv", "xlsx"),
        (b"a,b\n1,2\n", "xlsx", "csv"),
        ("a\tb\n".encode("utf-16"), "xlsx", "csv"),
        (b'{"prompt": "x"}\n', "csv", "jsonl"),
        (b'[\r\n {\n"prompt": "x"}]', "csv", "json"),
        (b"{a},b\n", "csv", "csv"),
        (b"a\tb\n", "tsv", "tsv"),
        (b"not json", "jsonl", "jsonl"),
        (b"PK\x03\x04....mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "csv", "ods"),
        (b"PK\x03\x04....xl/workbook.bin", "xlsx", "xlsb"),
        (b"\xd0\xcf\x11\xe0", "xlsx", "xls"),
        (b"PAR1\x15..PAR1", "csv", "parquet"),
        (b"PAR1,b\n1,2\n", "csv", "csv"),
    ],
    ids=range(13),
)
def test_a_file_is_read_by_its_bytes(data, named, kind):
    assert find_kind(io.BytesIO(data), named) == kind


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"%PDF-1.7", "a PDF"),
        (b" <html><table>", "a web page"),
        (b"<?xml version='1.0'?><Workbook>", "XML"),
        (b"PK\x03\x04....mimetypeapplication/vnd.oasis.opendocument.text", "an OpenDocument text"),
        (b"PK\x03\x04....word/document.xml", "a Word document"),
        (b"PK\x03\x04a.csv" + b"PK\x05\x06", "a ZIP archive, and no workbook"),
        (b"\x1f\x8b\x08", r"packed \(gzip\)"),
        (b"{\\rtf1\\ansi", "a text with formats"),
        (b"\x89PNG\r\n\x1a\n", "a picture"),
        (b"<!-- saved --><html><table>", "a web page"),
    ],
    ids=range(10),
)
def test_a_file_of_a_kind_that_is_not_read_is_named(data, what):
    with pytest.raises(BadInput, match=f"it is {what}"):
        find_kind(io.BytesIO(data), "xlsx")


# Headers


@pytest.mark.parametrize(
    "data",
    [
        b"Sales,,,\n,,,\nregion,2023,2024,2025\nNorth,1,2,3\n",
        b"Sales\nregion\nNorth\n",
        book(["", "Q1", "", "Q2"], ["region", "plan", "is", "plan", "is"], ["North", 1, 2, 3, 4]),
    ],
    ids=range(3),
)
def test_the_row_that_has_the_names_is_told(data):
    assert re.search(r"header (in row \d|there\? Then give header_row=\d)", refusal(data, "{{ region }}"))


def test_years_below_a_title_are_names_whatever_the_template_uses():
    data = b"Sales,,,\n,,,\nregion,2023,2024,2025\nNorth,1,2,3\n"
    assert "is the header in row 3?" in refusal(data, "{{ row|tojson }}")


@pytest.mark.parametrize(
    "name",
    ["\u200ename\u200f", "\u2066name\u2069", "\u00adname", "ï»¿name", "\ufeff\ufeffname", "\u3000name\x00"],
)
def test_what_cannot_be_seen_around_a_name_is_no_part_of_it(name):
    assert Asked(f"{name},id\nx,1\n".encode(), "{{ name }}").prompts == ["x"]


def test_an_emoji_keeps_the_signs_that_belong_to_it():
    assert Asked("❤️,id\nx,1\n".encode(), '{{ row["❤️"] }}').prompts == ["x"]


@pytest.mark.parametrize("name", ["Größe", "Gro\u0308ße"])
@pytest.mark.parametrize("used", ["Größe", "Gro\u0308ße"])
def test_accents_are_the_same_however_they_are_written(name, used):
    assert Asked(f"{name},id\nx,1\n".encode(), f"{{{{ {used} }}}}").prompts == ["x"]


@pytest.mark.parametrize(
    ("name", "used", "written"),
    [
        ("Review", "{{ review }}", "{{ Review }}"),
        ("First Name", "{{ First_Name }}", '{{ row["First Name"] }}'),
        ('"First\nName"', '{{ row["First Name"] }}', '{{ row["First\\nName"] }}'),
        ("First\u00a0Name", '{{ row["First Name"] }}', '{{ row["First\\xa0Name"] }}'),
        ("re\u00adview", "{{ review }}", '{{ row["re\\xadview"] }}'),
    ],
)
def test_a_name_that_is_almost_the_one_meant_is_shown_as_a_template_writes_it(name, used, written):
    data = f"id,{name}\n1,good\n".encode()

    assert refusal(data, used).endswith(f" is written {written}")
    assert Asked(data, written).prompts == ["good"]


def test_a_header_within_a_joined_file_is_not_asked_and_told():
    asked = Asked(b"\xef\xbb\xbfreview,id\na,1\n\xef\xbb\xbfreview,id\nb,2\n", "{{ review }}")

    assert (asked.prompts, asked.skipped) == (["a", "b"], [3])
    assert asked.notes == ["1 row repeats the header and is not asked"]
    assert Asked("Gro\u0308ße,id\nx,1\nGro\u0308ße,id\n".encode(), "{{ id }}").prompts == ["1"]


def test_a_name_that_is_a_formula_without_a_value_is_told():
    assert refusal(book(["id", '="a"&"b"'], [1, "x"]), "{{ ab }}").startswith("B1 is to name a column, but")


def test_where_no_sheet_was_chosen_the_others_are_told():
    def add(sheet: Any) -> None:
        sheet.parent.create_sheet("Data").append(["b"])

    for data in (book(["a"], ["x"], change=add), book([], ["x"], change=add)):
        assert 'the workbook also has "Data": `sheet` (--sheet) chooses' in refusal(data, "{{ b }}")


def test_rows_that_are_all_hidden_or_cannot_be_are_told():
    def hide(sheet: Any) -> None:
        sheet.row_dimensions[2].hidden = True

    assert "every row is hidden" in refusal(book(["a"], ["x"], change=hide), "{{ a }}", visible_only=True)
    assert "only a workbook has hidden rows" in refusal(b"a\nx\n", "{{ a }}", visible_only=True)


# Files of other programs


@pytest.mark.parametrize(
    ("data", "cells"),
    [
        ("id;Name, Vorname\n1;Müller, Anna\n2;Weiß, Bo\n", "Müller, Anna"),
        ("id;Name, Vorname\n1;Müller\n2;Weiß\n", "Müller"),
        ("id\tName, Vorname\n1\tMüller, Anna, Dr.\n2\tWeiß\n", "Müller, Anna, Dr."),
    ],
)
def test_of_two_separators_in_a_header_the_one_of_all_lines_is_found(data, cells):
    assert Asked(data.encode(), '{{ row["Name, Vorname"] }}').prompts[0] == cells


def test_what_fills_a_file_up_is_no_part_of_its_last_line():
    for filling in (b"\x1a", b"\x1a\x1a", b"\0" * 300):
        assert Asked(b"id,t\r\n1,last" + filling, "{{ t }}").prompts == ["last"]


def test_a_table_of_r_with_names_of_rows_says_what_is_missing():
    message = Asked(b"review,stars\n1,good,5\n2,bad,3\n", "{{ review }}").problems[0]["message"]
    assert message.endswith("put a name for the first column, which has none, at the start of row 1")


@pytest.mark.parametrize("content", [None, b"<styleSheet><oops", b""])
def test_a_workbook_without_styles_is_read_and_told(content):
    file = io.BytesIO()
    with ZipFile(io.BytesIO(book(["a"], [dt.date(2025, 2, 1)]))) as source, ZipFile(file, "w") as target:
        for name in source.namelist():
            if name != "xl/styles.xml":
                target.writestr(name, source.read(name))
            elif content is not None:
                target.writestr(name, content)
    asked = Asked(file.getvalue(), "{{ a }}")

    assert asked.prompts == ["45689"]
    assert "the formats of the workbook cannot be read" in asked.notes[0]


@pytest.mark.parametrize("spell", [str.upper, lambda name: name.replace("/", "\\")])
def test_names_of_parts_may_be_spelt_in_other_ways(spell):
    file = io.BytesIO()
    with ZipFile(io.BytesIO(book(["a"], ["x"]))) as source, ZipFile(file, "w") as target:
        for name in source.namelist():
            target.writestr(spell(name), source.read(name))

    assert Asked(file.getvalue(), "{{ a }}").prompts == ["x"]
    assert find_kind(file, "csv") == "xlsx"
    assert find_workbook(file, None, 1).part == spell("xl/worksheets/sheet1.xml")


def test_a_workbook_that_was_cut_short_is_told():
    assert "cut short or damaged" in refusal(book(["a"], ["x"])[:-200], "{{ a }}")


def test_rows_without_height_are_hidden():
    data = patched(book(["a"], ["x"], ["y"]), "sheet1.xml", (b'<row r="2"', b'<row ht="0" r="2"'))
    assert Asked(data, "{{ a }}", visible_only=True).prompts == ["y"]


def test_a_large_number_has_no_more_digits_than_were_saved():
    data = patched(book(["a"], [5]), "sheet1.xml", (b"<v>5</v>", b"<v>1.2345678901234567E+19</v>"))
    assert Asked(data, "{{ a }}").prompts == ["12345678901234567000"]


@pytest.mark.parametrize("word", ["Gesamtergebnis", "Somma", "Eindtotaal", "Végösszeg", "Общий итог", "総計"])
def test_totals_of_other_languages_are_known(word):
    asked = Asked(TOTALS.format(word).encode(), "{{ product }}: {{ note }}")
    assert len(asked.prompts) == 2


# Encodings of other languages

SENTENCES = {
    "pl": "Bardzo dobra jakość, polecam każdemu, miła obsługa\nŹle się stało, książka późno, dziękuję",
    "cs": "Děkuji, všechno v pořádku, rychlé dodání\nZboží přišlo poškozené, můžu reklamovat, příště znovu",
    "hu": "Nagyon jó termék, gyors szállítás\nŐszintén szólva tűrhető, a hűtő nem működik, öt nap",
    "ru": "Очень хороший товар. Спасибо, Анна\nПлохо, не работает, верните деньги",
    "tr": "Çok güzel bir ürün, teşekkürler, hızlı geldi\nIğdır'da değişik, şık, ığ",
    "pt": "A refeição não estava boa, mas a localização é ótima\nNão há água, atenção à informação",
}


@pytest.mark.parametrize(
    ("language", "encodings"),
    [
        ("pl", ["cp1250", "cp852", "mac_latin2", "iso8859_2"]),
        ("cs", ["cp1250", "cp852", "mac_latin2", "iso8859_2"]),
        ("hu", ["cp1250", "cp852", "iso8859_2"]),
        ("ru", ["cp1251", "koi8_r", "mac_cyrillic"]),
        ("tr", ["cp1254", "cp857"]),
        ("pt", ["cp1252", "mac_roman", "cp850"]),
    ],
)
def test_a_text_is_read_with_the_letters_of_its_language(language, encodings):
    lines = SENTENCES[language].splitlines()
    for encoding in encodings:
        data = "\r\n".join(["id;text", *(f"1;{line}" for line in lines)]).encode(encoding)
        assert Asked(data, "{{ text }}").prompts == lines, encoding


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("5 € or more\n10 €\n12 €\n15 €", "cp858"),
        ("5 € or more\n10 €\n12 €\n15 €", "iso8859_15"),
        (SENTENCES["ru"], "cp866"),
        (SENTENCES["pt"], "cp860"),
    ],
)
def test_a_text_with_few_signs_is_refused_rather_than_read_with_others(text, encoding):
    assert "save it as UTF-8" in refusal(f"t\n{text}\n".encode(encoding), "{{ t }}")


def test_names_of_many_countries_are_read_as_western():
    names = "María Nuñez\nJürgen Weiß\nFrançois\nSøren\nÅsa Björk\nSigríður\nConceição\nZoë\nGenève\nMálaga"
    assert Asked(f"name\n{names}\n".encode("cp1252"), "{{ name }}").prompts == names.splitlines()


# Templates


@pytest.mark.parametrize(
    ("template", "written"),
    [
        ("{{ 2024 }}", '{{ row["2024"] }}'),
        ("{{ 'First Name' }}", '{{ row["First Name"] }}'),
        ("{{ no. }}", '{{ row["no."] }}'),
        ("{{ row.e-mail }}", '{{ row["e-mail"] }}'),
        ("{% if First Name %}x{% endif %}", '{{ row["First Name"] }}'),
        ("{% if not First Name == 'x' %}x{% endif %}", '{{ row["First Name"] }}'),
    ],
)
def test_a_column_that_is_named_in_another_way_is_shown_as_a_template_writes_it(template, written):
    data = b"First Name,e-mail,2024,no.\nAnna,a@b,5,1\nBob,b@c,6,2\n"
    assert refusal(data, template).endswith(written)


def test_a_number_beside_a_column_of_that_name_is_told():
    asked = Asked(b"id,2024\n1,x\n", "{{ id }} {{ 2024 }}")
    assert asked.notes[0].startswith("{{ 2024 }} in the template is not filled in: for the column write")


@pytest.mark.parametrize("blanks", ["{{" + " " * 900_000, "{% if" + " " * 900_000, "{{ " * 300_000])
def test_the_way_out_is_found_in_time(blanks):
    with pytest.raises(BadInput):
        compile_template(blanks)
    assert stray_place(blanks, ["a"]) is None
