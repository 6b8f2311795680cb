"""Tables: any usual CSV or XLSX is read as a spreadsheet shows it, and every fault is named by its row."""

import csv
import io
import json
import time
from datetime import date, datetime
from datetime import time as time_of_day
from pathlib import Path
from tempfile import SpooledTemporaryFile
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZipFile

import openpyxl
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.datetime import MAC_EPOCH

from app.errors import BadInput, TooLarge
from app.ingest.draft import Defaults, Problems
from app.ingest.tables import Table, read_csv, read_rows, read_xlsx
from app.ingest.templates import compile_template
from app.ingest.values import is_blank

DEFAULTS = Defaults(model="simulated", max_tokens=100)
SHEET, STRINGS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
ROW = "{{ row|tojson }}"  # which uses every column
EXAMPLE = Path(__file__).parents[2] / "examples" / "reviews.csv"


class Read:
    """A table that was read to its end."""

    def __init__(self, data: bytes, template: str | None, reader=read_csv, max_records: int = 1_000) -> None:
        problems = Problems()
        compiled = None if template is None else compile_template(template)
        self.table: Table = reader(io.BytesIO(data), DEFAULTS, compiled, problems, max_records=max_records)
        self.drafts = list(self.table.drafts)
        self.problems = problems.listed
        self.rows = [json.loads(draft.body)["row"] for draft in self.drafts]


def rows_of(data: bytes, template: str | None = ROW, reader=read_csv) -> list[dict]:
    read = Read(data, template, reader)
    assert read.problems == []
    return read.rows


def refusal(data: bytes, template: str | None = ROW, reader=read_csv, max_records: int = 1_000) -> str:
    with pytest.raises(BadInput) as caught:
        Read(data, template, reader, max_records)
    return caught.value.message


def workbook(*rows: list) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def patched(data: bytes, old: bytes, new: bytes, part: str = SHEET) -> bytes:
    """The XLSX file with one part of its XML changed."""
    file = io.BytesIO()
    with ZipFile(io.BytesIO(data)) as source, ZipFile(file, "w", ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name == part:
                assert old in content
                content = content.replace(old, new)
            target.writestr(name, content)
    return file.getvalue()


# CSV


def test_each_row_becomes_a_record_of_its_cells():
    assert rows_of(b"id,review\n1,Nice\n2,\n") == [{"id": "1", "review": "Nice"}, {"id": "2", "review": ""}]


def test_quotes_separators_and_line_breaks_in_cells_are_kept():
    data = b'review,b\r\n"one\r\ntwo, ""three""\n", x \r\n'

    assert rows_of(data) == [{"review": 'one\r\ntwo, "three"\n', "b": " x "}]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encoding_separator_and_line_ends_are_found(separator, encoding, end):
    lines = ['prénom,"a; b, c | d"', 'Zoë,"1,5; 2 | x"', "Straße,€ 3"]
    text = end.join(line.replace(",", separator, 1) for line in lines)

    assert rows_of(text.encode(encoding)) == [
        {"prénom": "Zoë", "a; b, c | d": "1,5; 2 | x"},
        {"prénom": "Straße", "a; b, c | d": "€ 3"},
    ]


def test_a_single_column_needs_no_separator():
    assert rows_of(b"review\nNice, really\n".replace(b",", b" -")) == [{"review": "Nice - really"}]


def test_one_bad_byte_in_utf8_is_named_and_not_guessed_around():
    assert refusal("a,b\né,1\n".encode() + b"x\xe9y,2\n") == (
        "line 3: byte 0xe9 is not UTF-8: save the file as UTF-8"
    )


ASKED = {
    "cp1251": "Как оформить пенсию?; Где находится ближайшее отделение?",
    "koi8-r": "Как оформить пенсию?; Где находится ближайшее отделение?",
    "cp1253": "Πώς κάνω αίτηση για σύνταξη; Πού βρίσκεται το πλησιέστερο γραφείο;",
    "cp1255": "כיצד אוכל להגיש בקשה לפנסיה? היכן נמצא המשרד הקרוב?",
    "cp1256": "كيف يمكنني التقدم بطلب للحصول على معاش؟ أين يقع أقرب مكتب؟",
    "gb18030": "如何申请养老金？最近的办公室在哪里？",
    "big5": "如何申請退休金？最近的辦公室在哪裡？",
    "shift-jis": "年金を申請するにはどうすればよいですか？最寄りの事務所はどこですか？",
    "euc-jp": "年金を申請するにはどうすればよいですか？最寄りの事務所はどこですか？",
    "euc-kr": "연금을 신청하려면 어떻게 해야 합니까? 가장 가까운 사무실은 어디입니까?",
    "cp1250": "Gdzie mogę odnowić paszport? Mieszkam w Łodzi i muszę wyjechać w piątek, proszę o odpowiedź.",
    "cp1254": "Emekli maaşına nasıl başvurabilirim? En yakın ofis nerede? Teşekkür ederim, cevap bekliyorum.",
    "cp1252": "Où puis-je renouveler mon passeport ? J’habite à Besançon, c’est gratuit pour les élèves ?",
    "latin-1": "Hvor kan jeg forny mit pas? Jeg bor på Sjælland og har læst at kontoret er lukket.",
}


@pytest.mark.parametrize(("encoding", "question"), ASKED.items(), ids=ASKED)
@pytest.mark.parametrize("count", [1, 900])
def test_a_language_is_read_in_the_encoding_in_which_it_is_one(encoding, question, count):
    data = "\n".join(["id,question", *(f'{number},"{question}"' for number in range(count))])

    rows = rows_of(data.encode(encoding))

    assert [row["question"] for row in rows] == [question] * count


def test_a_few_words_that_could_be_of_several_alphabets_are_refused():
    for text, encoding in [("Привет, мир", "cp1251"), ("产品评论很好很好", "gbk"), ("καλημέρα", "cp1253")]:
        assert refusal(f'a,b\n"{text}",1\n'.encode(encoding)).endswith(
            "is not UTF-8, and the encoding of the file is ambiguous: save it as UTF-8"
        )


def test_wholly_empty_rows_are_skipped_and_told_as_a_spreadsheet_counts():
    # Given rows of separators alone, a blank line between rows, and blank lines at the end
    read = Read(b'a,b\n1,2\n,\n\n"x\ny",4\n , \n5,6\n,\n\n\n', "{{ a }}")

    # Then the blank lines below the last row are no rows at all
    assert len(read.drafts) == 3
    assert read.table.skipped == [3, 4, 6, 8]


def test_of_very_many_skipped_rows_the_first_are_told():
    read = Read(b"a,b\n" + b",\n" * 5_000 + b"1,2\n", ROW)

    assert read.table.skipped == list(range(2, 1_002))


def test_a_short_row_is_filled_up_and_a_long_one_is_a_fault():
    read = Read(b"a,b,c\n1\n1,2,3,,\n1,2,3,4\n", ROW)

    assert read.rows == [{"a": "1", "b": "", "c": ""}, {"a": "1", "b": "2", "c": "3"}]
    assert read.problems[0]["where"] == "row 4"
    assert read.problems[0]["message"].startswith("the row has 4 cells, but the header names 3 columns")


def test_trailing_columns_without_name_and_content_are_dropped():
    assert Read(b"a, b ,,\n1,2,,\n", ROW).table.columns == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty: its first row must name the columns"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"\n\n", "row 1 is empty: it must name the columns"),
        (b",,\n1,2,3\n", "row 1 is empty: it must name the columns"),
        (b"a,b\n", "the table has a header but no row with content below it"),
        (b"a,b\n,\n \n", "the table has a header but no row with content below it"),
        (b"a,b,a\n", 'row 1: the columns 1 and 3 are both called "a"'),
        (b"a,b\n\0\0\0\n\x1a", "the table has a header but no row with content below it"),
        (b"a," + b"x" * 1_001 + b"\n", f'row 1: the name of column 2, "{60 * "x"}", must be plain text of'),
        (b",".join(b"c%d" % n for n in range(16_001)), "row 1 names 16,001 columns; the limit is 16,000"),
        (b'a,b\n1,2\n3,"x\ny,z\n', "row 3: not CSV: a quotation mark is not closed"),
        (b'a,b\n1,"x"y\n', "row 2: not CSV: ',' expected after '\"'"),
        (b'a,b\n1,"' + b"x" * 33_000_000, "row 2: it has over 32,000,000 characters"),
    ],
    ids=range(13),
)
def test_a_table_that_cannot_be_used_says_why(data, said):
    assert refusal(data).startswith(said)


def test_a_row_of_nothing_but_separators_is_refused_before_it_is_made():
    assert "over 2,000,000 separators" in refusal(b"a,b\nx" + b"," * 2_000_001)


def test_a_cell_of_two_megabytes_is_named_with_its_size():
    read = Read(b"id,review\n1,ok\n2," + b"x" * 2_000_000 + b"\n3,ok\n", "{{ review }}")

    assert read.problems == [
        {
            "where": 'row 3, column "review"',
            "message": "the cell has 2,000,000 bytes; the limit is 1,000,000",
        }
    ]
    assert len(read.drafts) == 2


def test_a_column_that_the_template_names_and_the_table_lacks_is_named():
    assert refusal(b"id,reviews\n1,x\n", "{{ review }} {{ product|default('?') }}") == (
        'the template uses "product", "review"; there is "id", "reviews"'
    )


def test_without_a_template_the_column_prompt_is_asked():
    read = Read(b"id,prompt\n1,Say hi\n", None)

    assert read.table.template.source == "{{ prompt }}"
    assert read.rows == [{"id": "1", "prompt": "Say hi"}]
    assert refusal(b"id,review\n1,x\n", None) == (
        'a table needs a template, or a column "prompt"; it has "id", "review"'
    )


def test_ids_come_from_columns_of_their_names():
    read = Read(b"custom_id,conversation,q\n7,c,x\n,,y\n7,,z\n", "{{ q }}")

    assert [(draft.custom_id, draft.conversation) for draft in read.drafts] == [("7", "c"), (None, None)]
    assert read.problems == [{"where": "row 4", "message": 'custom_id "7" is already used by row 2'}]


def test_one_row_too_many_is_named():
    with pytest.raises(TooLarge, match="row 5: a job takes up to 2 records"):
        Read(b"a\n1\n\n2\n3\n", ROW, max_records=2)


def test_other_readers_of_csv_keep_working_after_us():
    # Given a limit that the process already had
    before = csv.field_size_limit(50_000_000)
    try:
        # When a table is read, then that limit is not lowered
        rows_of(b"a\n1\n")
        assert csv.field_size_limit() == 50_000_000
    finally:
        csv.field_size_limit(before)


def test_an_upload_that_is_kept_in_memory_until_it_is_large_can_be_read():
    for size in (10_000_000, 10):
        with SpooledTemporaryFile(max_size=size) as upload:
            upload.write(b"a\n1\n2\n")
            table = read_csv(upload, DEFAULTS, compile_template(ROW), Problems(), max_records=10)
            assert len(list(table.drafts)) == 2
        with SpooledTemporaryFile(max_size=size) as upload:
            upload.write(GOOD)
            table = read_xlsx(upload, DEFAULTS, compile_template(ROW), Problems(), max_records=10)
            assert len(list(table.drafts)) == 2


def test_a_stream_is_left_open_and_may_be_closed_early():
    stream = io.BytesIO(b"a\n1\n2\n")
    table = read_csv(stream, DEFAULTS, compile_template(ROW), Problems(), max_records=10)
    next(table.drafts)
    table.drafts.close()
    assert not stream.closed

    table = read_csv(stream, DEFAULTS, compile_template(ROW), Problems(), max_records=10)
    stream.close()
    del table


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=6),
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    # With \n alone Python's writer leaves an \r in a cell without quotation marks.
    st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\n", csv.QUOTE_ALL)]),
)
def test_what_a_csv_writer_wrote_comes_back(table, separator, encoding, style):
    # Given a table that was written by Python's own writer
    end, quoting = style
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerow(["one", "two", "three"])
    end = ["the", "last", "row"]  # so that none before it is taken for a total
    writer.writerows([*table, end])
    filled = [row for row in table if not all(map(is_blank, row))]

    # Then every cell of every row that is not empty comes back
    rows = rows_of(file.getvalue().encode(encoding))
    assert [list(row.values()) for row in rows] == [*filled, end]


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_a_refusal(data):
    for reader in (read_csv, read_xlsx):
        try:
            Read(data, None, reader)
        except BadInput:
            pass


# XLSX


def test_a_sheet_keeps_the_types_of_its_cells():
    data = workbook(
        ["text", "number", "part", "truth", "day", "moment"],
        ["007", 5, 2.5, True, date(2026, 1, 2), datetime.fromisoformat("2026-01-02T03:04")],
        ["x", None, None, None, None, None],
    )

    assert rows_of(data, "{{ text }}", read_xlsx) == [
        {
            "text": "007",
            "number": 5,
            "part": 2.5,
            "truth": True,
            "day": "2026-01-02",
            "moment": "2026-01-02T03:04:00",
        },
        {"text": "x", "number": "", "part": "", "truth": "", "day": "", "moment": ""},
    ]


def test_rows_of_a_sheet_are_counted_as_it_shows_them():
    read = Read(workbook(["a", 2024], ["x", 1], [], ["", None], ["y", 2, None, "stray"]), ROW, read_xlsx)

    assert read.table.columns == ["a", "2024"]
    assert (read.table.skipped, len(read.drafts)) == ([3, 4], 1)
    assert [problem["where"] for problem in read.problems] == ["row 5"]


def test_a_formula_gives_the_value_that_was_saved_with_it():
    data = workbook(["a", "b"], ["x", "=1+1"])

    assert rows_of(patched(data, b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>"), ROW, read_xlsx) == [
        {"a": "x", "b": 2}
    ]


def test_a_cell_in_the_last_corner_of_a_sheet_costs_no_room_for_all_before_it():
    corner = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    read = Read(patched(workbook(["a"], ["x"]), b"</sheetData>", corner), ROW, read_xlsx)

    assert (read.rows, read.problems) == ([{"a": "x"}], [])
    assert (len(read.table.skipped), read.table.skipped[-1]) == (1_000, 1_002)


def test_a_dimension_that_is_wrong_is_not_believed():
    data = patched(workbook(["a", "b"], ["x", "y"]), b'<dimension ref="A1:B2"', b'<dimension ref="A1"')

    assert rows_of(data, ROW, read_xlsx) == [{"a": "x", "b": "y"}]


def test_the_first_sheet_that_is_shown_is_read():
    book = openpyxl.Workbook()
    book.active.append(["hidden"])
    book.active.sheet_state = "hidden"
    shown = book.create_sheet("shown")
    shown.append(["a"])
    shown.append(["x"])
    file = io.BytesIO()
    book.save(file)

    assert rows_of(file.getvalue(), ROW, read_xlsx) == [{"a": "x"}]


def archive(**parts: str) -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w") as target:
        for name, content in parts.items():
            target.writestr(name, content)
    return file.getvalue()


GOOD = workbook(["a", "b"], ["x", 5], ["y", 6])
LAUGHS = (
    b'<!DOCTYPE x [<!ENTITY a "'
    + b"lol" * 1_000
    + b'">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 20) for n in range(8))
    + b"]><worksheet"
)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a,b\n1,2\n", "the file cannot be read as XLSX: it is cut short or damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, "the file is encrypted or of Excel 97"),
        (GOOD[: len(GOOD) // 2], "the file cannot be read as XLSX"),
        (archive(readme="hello"), "the file cannot be read as XLSX"),
        (workbook(), "the file is empty"),
        (workbook(["a"]), "the table has a header but no row with content"),
        (patched(GOOD, b"</row>", b""), "row 1"),
        (patched(GOOD, b"<v>5</v>", b"<v>five</v>"), "row 2 cannot be read as XLSX"),
        (patched(GOOD, b'<row r="3"', b'<row r="99999999999"'), "the sheet has over 1,048,576 rows"),
        (patched(GOOD, b'r="A3"', b'r="ZZZZZZZ3"'), "row 3 cannot be read as XLSX"),
        (patched(patched(GOOD, b"<worksheet", LAUGHS), b"<v>5</v>", b"<v>&i;</v>"), "the file cannot be"),
        (patched(GOOD, b"<v>5</v>", b"<v>1e400</v>"), "row 2 cannot be read as XLSX: 1e400 is more than"),
        (patched(GOOD, b"<v>5</v>", b"<v>" + b"9" * 301 + b"</v>"), "row 2 cannot be read as XLSX"),
        (patched(GOOD, b'<c r="B2" t="n"><v>5</v>', b'<c r="B2" t="s"><v>-1</v>'), "row 2 cannot be read"),
        (patched(GOOD, b'<row r="3"', b'<row r="2"'), "row 2 cannot be read as XLSX: row 2 follows it"),
        (
            patched(GOOD, b'r="A3"', b'r="XFE3"'),
            "row 3 cannot be read as XLSX: it has a cell in column 'XFE'",
        ),
    ],
    ids=range(16),
)
def test_a_workbook_that_cannot_be_read_is_a_refusal(data, said):
    assert refusal(data, ROW, read_xlsx).startswith(said)


def claiming(data: bytes, part: str, size: int) -> bytes:
    """The archive with another size for a part in its directory."""
    file = io.BytesIO(data)
    with ZipFile(file, "a") as target:
        target.getinfo(part).file_size = size
        target.comment = b"so that the directory is written again"
    return file.getvalue()


@pytest.mark.parametrize(
    ("part", "size"), [(SHEET, 2_000_000_001), (SHEET, 150_000_000), ("xl/styles.xml", 256_000_001)]
)
def test_an_archive_that_unpacks_to_too_much_is_refused_unread(part, size):
    assert "which is too much" in refusal(claiming(GOOD, part, size), ROW, read_xlsx)


def test_an_archive_that_lies_about_its_sizes_is_not_read_beyond_them():
    assert "cannot be read as XLSX" in refusal(claiming(GOOD, SHEET, 700), ROW, read_xlsx)


# The example


@pytest.mark.parametrize(
    "row",
    [
        '<row r="2">' + '<c r="A2"><v>1</v></c>' * 300_000 + "</row>",
        '<row r="2"><c r="A2" t="inlineStr"><is>' + "<r><t>a</t></r>" * 300_000 + "</is></c></row>",
        '<row r="2"><c ' + "".join(f'a{number}="" ' for number in range(1_000_001)) + "/></row>",
        "".join(f'<row r="{row}"><c r="XFD{row}"><v>1</v></c></row>' for row in range(2, 5_002)),
        "<row/>" * 1_000_000,
        '<row r="2">' + "<c/>" * 300_000 + "</row>",
        " " * 90_000_000,
    ],
    ids=["one place", "one text", "one tag", "last column", "empty rows", "empty cells", "spaces"],
)
def test_a_small_file_that_would_take_long_to_read_is_refused_for_little(row):
    # Given a file whose rows are far more than its size
    data = patched(workbook(["a"]), b"</sheetData>", row.encode() + b"</sheetData>")
    assert len(data) < 4_000_000

    # Then it is refused before that is paid
    began = time.process_time()
    assert "which is too much" in refusal(data, ROW, read_xlsx)
    assert time.process_time() - began < 5


HEADER = b",".join(b"c%d" % number for number in range(4_000))


@pytest.mark.parametrize("reader", ["csv", "xlsx"])
def test_short_rows_below_a_wide_header_are_bounded_by_the_size_of_their_file(reader):
    # Given a file whose records would be far larger, because each is stored with every column
    data = HEADER + b"\n1" * 8_000
    if reader == "xlsx":
        cells = b"".join(b'<c t="str"><v>%b</v></c>' % name for name in HEADER.split(b","))
        rows = b"<row>" + cells + b"</row>" + b"<row><c><v>1</v></c></row>" * 8_000
        data = patched(workbook(), b"</sheetData>", rows + b"</sheetData>")

    # Then it is refused for them, with what would be accepted
    with pytest.raises(TooLarge, match=r"4,000 columns and over \d+ rows"):
        Read(data, ROW, {"csv": read_csv, "xlsx": read_xlsx}[reader], 1_000_000)


@pytest.mark.parametrize(("rows", "columns"), [(2_000, 20), (3, 16_000)])
def test_an_honest_sheet_of_any_shape_is_read(rows, columns):
    # Given a sheet that is long or wide, and of little variety
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, [f"c{number}" for number in range(columns)])
        for row in range(1, rows):
            sheet.write_row(row, 0, ["x"] * columns)

    # Then each of its cells is there
    assert sum(len(row.cells) for row in read_rows("xlsx", file).rows) == rows * columns


def test_what_a_row_leaves_out_is_empty():
    rows = b'<row r="3"><c r="B3"><v>1</v></c><c r="D3"><v>2</v></c></row></sheetData>'
    data = patched(workbook(list("abcd")), b"</sheetData>", rows)

    read = Read(data, ROW, read_xlsx)
    assert read.rows == [{"a": "", "b": 1, "c": "", "d": 2}]
    assert read.table.skipped == [2]


def shared(text: str) -> bytes:
    """A workbook whose cells share this text, as XML."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        book.add_worksheet().write_column(0, 0, ["a", "x"])
    return patched(file.getvalue(), b"<t>x</t>", text.encode(), STRINGS)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            '<r><t>To</t></r><r><rPr><b/></rPr><t>kyo</t></r><rPh sb="0" eb="1"><t>hint</t></rPh>',
            "Tokyo",
        ),
        ("<t>a_x000D_b _x005F_x0041_ _xyz_</t>", "a\rb _x0041_ _xyz_"),
    ],
    ids=["in parts, with a hint how to read it", "with what XML cannot hold"],
)
def test_texts_are_read_as_they_are_shown(text, value):
    inline = b'<c r="A2" t="inlineStr"><is>' + text.encode() + b"</is></c>"
    own = patched(workbook(["a"], ["x"]), b'<c r="A2" t="inlineStr"><is><t>x</t></is></c>', inline)

    assert rows_of(shared(text), ROW, read_xlsx) == [{"a": value}]
    assert rows_of(own, ROW, read_xlsx) == [{"a": value}]


def test_days_count_from_1904_where_the_workbook_says_so():
    book = openpyxl.Workbook()
    book.epoch = MAC_EPOCH
    for row in (["a", "b"], [date(2026, 1, 2), time_of_day(12, 30)]):
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)

    assert rows_of(file.getvalue(), ROW, read_xlsx) == [{"a": "2026-01-02", "b": "12:30:00"}]


def test_a_list_of_parts_that_would_fill_the_memory_is_refused_unread():
    file = io.BytesIO()
    with ZipFile(file, "w") as target:
        for number in range(9_000):
            target.writestr(f"{'x' * 100}{number}", "")

    assert "the limit is 1,000,000" in refusal(file.getvalue(), ROW, read_xlsx)


def test_parts_that_unpack_without_a_bound_are_refused():
    file = io.BytesIO()
    with ZipFile(io.BytesIO(GOOD)) as source, ZipFile(file, "w", ZIP_BZIP2) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))

    assert "packed by a method" in refusal(file.getvalue(), ROW, read_xlsx)


PARTS = [SHEET, "xl/workbook.xml", STRINGS, "xl/styles.xml", "xl/_rels/workbook.xml.rels"]
WHOLE = shared("<r><t>a</t></r>")


@given(st.sampled_from(PARTS), st.data())
def test_any_change_of_a_workbook_is_a_table_or_a_refusal(part, data):
    # Given a workbook in one of whose parts some bytes are others
    content = ZipFile(io.BytesIO(WHOLE)).read(part)
    start = data.draw(st.integers(0, len(content) - 1))
    old = content[start : start + data.draw(st.integers(1, 40))]
    odd = st.sampled_from(
        [b"", b"<", b">", b'"', b"<row/>", b"<c>", b"-1", b"1e999", b"\xff", b"&#0;", b"\0"]
    )
    changed = patched(WHOLE, old, data.draw(odd | st.binary(max_size=20)), part)

    # Then it is read or refused, and nothing else
    try:
        Read(changed, None, read_xlsx)
    except (BadInput, TooLarge):
        pass


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=8))
def test_any_damage_to_an_archive_is_a_table_or_a_refusal(start, bytes_):
    try:
        Read(GOOD[:start] + bytes_ + GOOD[start + len(bytes_) :], None, read_xlsx)
    except (BadInput, TooLarge):
        pass


def test_a_sheet_of_many_rows_is_none_of_those():
    data = patched(
        workbook(["a"]),
        b"</sheetData>",
        b'<x:row xmlns:x="y"/>' + b"<row><c><v>1</v></c></row>" * 210_000 + b"</sheetData>",
    )

    with pytest.raises(TooLarge, match="2,000 records"):
        Read(data, ROW, read_xlsx, 2_000)


def test_the_example_sheet_asks_298_of_its_300_rows():
    # Given the sheet that every new user sees first
    read = Read(EXAMPLE.read_bytes(), "Summarise: {{ review }}")

    # Then its empty row and the one without a review are skipped, and all else is asked as it stands
    assert read.problems == []
    assert len(read.drafts) == 298
    assert len(read.table.skipped) == 2
    assert read.table.notes() == ['1 row has nothing in "review" and is not asked']
    assert read.table.columns == ["id", "product", "rating", "language", "review"]


def test_the_example_sheet_holds_what_real_sheets_hold():
    reviews = [row["review"] for row in Read(EXAMPLE.read_bytes(), ROW).rows]

    assert len(set(reviews)) == 299
    assert "" in reviews
    assert 15_000 < max(len(review.encode()) for review in reviews) < 25_000
    for mark in ("\n", '"', ",", "{{", "<b>", "العملاء", "הסוללה", "很", "😍"):
        assert any(mark in review for review in reviews), mark
    assert any(review.startswith("=") for review in reviews)
    assert any(review != review.strip() for review in reviews)
