"""Readers of bytes: whatever they are, they are read or refused, and no other error comes of them."""

import io
from itertools import pairwise
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadInput, TooLarge
from app.ingest import csv_rows, documents
from app.ingest.draft import Defaults
from app.ingest.encodings import find_encoding
from app.ingest.media import IMAGES, PDF, TEXT, UNKNOWN, Sniffer
from app.ingest.xlsx.rows import read_rows

ALPHABETS = ("cp1251", "koi8_r", "cp1253", "gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1250", "utf-16")
WORDS = st.text(st.characters(codec="utf-8"), max_size=200)
ODD = st.one_of(
    st.binary(max_size=400),
    st.builds(lambda head, rest: b"a,b\n" + head + rest, st.binary(max_size=40), st.binary(max_size=200)),
    st.builds(lambda text, name: text.encode(name, "ignore"), WORDS, st.sampled_from(ALPHABETS)),
    st.lists(st.sampled_from([b'"', b'""', b",", b";", b"\t", b"\n", b"\r", b"\0", b"\xff", b"a"])).map(
        b"".join
    ),
)


@given(ODD)
def test_text_in_the_encoding_that_is_found_can_be_read(data):
    try:
        encoding = find_encoding(io.BytesIO(data))
    except BadInput:
        return
    data.decode(encoding)


@given(ODD)
def test_any_bytes_are_rows_of_csv_or_a_refusal(data):
    try:
        rows = [row.cells for row in csv_rows.read_rows(io.BytesIO(data)).rows]
    except BadInput:
        return
    assert all(isinstance(cell, str) for row in rows for cell in row)


@given(ODD, st.lists(st.integers(0, 400), max_size=4))
def test_the_type_of_any_document_depends_on_its_bytes_alone(data, places):
    cuts = [0, *sorted(places), len(data)]
    whole, pieces = Sniffer(), Sniffer()
    whole.feed(data)
    for start, end in pairwise(cuts):
        pieces.feed(data[start:end])

    assert whole.media_type() == pieces.media_type()
    assert whole.media_type() in (PDF, TEXT, UNKNOWN, *IMAGES)


@given(WORDS, st.dictionaries(WORDS, WORDS, max_size=3), st.integers(0, 10**9))
def test_any_document_is_read_as_it_was_written(filename, metadata, size):
    written = documents.Document(filename, metadata, "id", "key", "digest", size)
    draft = documents.draft(written, Defaults(model="nobody", max_tokens=1))

    assert documents.read(draft.body) == written


NAMES = st.sampled_from(
    [
        "_rels/.rels",
        "xl/workbook.xml",
        "xl/_rels/workbook.xml.rels",
        "xl/worksheets/sheet1.xml",
        "xl/styles.xml",
    ]
)
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATED = "".join(
    f'<Relationship Id="{kind}" Type="{OFFICE}/{kind}" Target="{target}"/>'
    for kind, target in [("officeDocument", "xl/workbook.xml"), ("worksheet", "worksheets/sheet1.xml")]
)
RELATIONSHIPS = f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{RELATED}</Relationships>'
MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
TAGS = ("row", "c", "v", "is", "t", "r", "rPh", "f", "sheetData", "mergeCell")
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["r", "t", "s"]),
    st.sampled_from(
        ["1", "0", "-1", "A1", "XFD7", "XFE1", "", "s", "b", "d", "n", "str", "inlineStr", "1.0", "x"]
    ),
)
TREES = st.recursive(
    st.sampled_from(
        ["", "1", "1e400", "-0", "nan", "45000.5", "2020-01-01", "P1D", "x&amp;y", "_x0000_", " "]
    ),
    lambda inner: st.builds(
        lambda tag, given, parts: f"<{tag}{_written(given)}>{''.join(parts)}</{tag}>",
        st.sampled_from(TAGS),
        ATTRIBUTES,
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)


def _written(given: dict[str, str]) -> str:
    return "".join(f' {name}="{value}"' for name, value in given.items())


def workbook(rows: str) -> dict[str, str]:
    return {
        "_rels/.rels": RELATIONSHIPS.replace("worksheet", "unused", 1),
        "xl/workbook.xml": f'<workbook {MAIN} xmlns:r="{OFFICE}"><sheets><sheet r:id="worksheet"/></sheets>'
        "</workbook>",
        "xl/_rels/workbook.xml.rels": RELATIONSHIPS,
        "xl/worksheets/sheet1.xml": f"<worksheet {MAIN}><sheetData>{rows}</sheetData></worksheet>",
    }


def packed(parts: dict[str, str | bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file


def test_the_workbook_that_is_changed_below_can_be_read():
    source = read_rows(packed(workbook('<row><c t="str"><v>a</v></c></row>')))
    assert [row.cells for row in source.rows] == [["a"]]


@given(st.lists(TREES, max_size=5))
def test_any_tags_are_rows_of_a_sheet_or_a_refusal(trees):
    try:
        rows = [row.cells for row in read_rows(packed(workbook("".join(trees)))).rows]
    except BadInput:
        return
    assert all(isinstance(cell, str | int | float) for row in rows for cell in row)


@given(st.dictionaries(NAMES, st.binary(max_size=60) | st.just(b""), min_size=1))
def test_any_parts_of_a_workbook_are_rows_or_a_refusal(changed):
    parts: dict[str, str | bytes] = {**workbook("<row/>"), **changed}
    try:
        list(read_rows(packed(parts)).rows)
    except (BadInput, TooLarge):
        pass


@pytest.mark.parametrize("size", [0, 3, 4, 22, 100])
def test_the_end_of_an_archive_alone_is_a_refusal(size):
    whole = packed(workbook("<row/>")).getvalue()

    with pytest.raises(BadInput):
        list(read_rows(io.BytesIO(whole[len(whole) - size :])).rows)
