"""Results over REST in the form in which their table came."""

import csv
import io
import zipfile

import openpyxl
import pytest
from sqlalchemy import func, select, update

from app.core.documents.open_store import store
from app.core.pipeline import object_removal, retention
from app.core.reading.layout import Layout
from app.errors import NotFound
from models import Blob, Job, JobTable
from models.base import now
from models.session import in_transaction, reading
from tests.support.front_door import JOBS, Door, Worker, number_of

pytestmark = pytest.mark.one_database

GERMAN = "Nr;Größe;Preis\r\n1;schön;1.234,50 €\r\n2;groß;3,00 €\r\n"
TEMPLATE = "{{ text }}"


@pytest.fixture
def door(environment):
    return Door()


@pytest.fixture
def worker(environment):
    return Worker()


def said(text):
    return b'{"content":[{"type":"text","text":"%s"}]}' % text.encode()


def workbook(*rows, fill=None):
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.active.title = "Umsatz"
    for row in rows:
        book.active.append(row)
    if fill is not None:
        fill(book)
    book.save(out)
    return out.getvalue()


def results(door, job, query="format=csv"):
    response = door.get(f"{job['links']['results']}?{query}")
    assert response.status_code == 200, response.text
    return response


def table(response, encoding, delimiter):
    return list(csv.reader(io.StringIO(response.data.decode(encoding), newline=""), delimiter=delimiter))


def sheet(response):
    return openpyxl.load_workbook(io.BytesIO(response.data))


def test_a_csv_file_comes_back_as_it_came(door, worker):
    # Given a table as a German spreadsheet saves it, whose model answers with a formula
    job = door.upload("maße.csv", GERMAN.encode("cp1252"), template="{{ Größe }}").get_json()
    worker.end(job, [0], answer=said("=1+1"), model="claude-haiku-4-5")
    worker.end(job, [1], answer=said("Ganz “groß” – 5 €"))

    # Then it comes back in its encoding, with its separator and its decimal sign
    response = results(door, job)
    header, first, second = table(response, "cp1252", ";")
    assert header == ["Nr", "Größe", "Preis", *Layout([]).added]
    assert first[:5] == ["1", "schön", "1.234,50 €", "'=1+1", "succeeded"]
    assert first[9].startswith("0,0000")
    assert second[:4] == ["2", "groß", "3,00 €", "Ganz “groß” – 5 €"]
    assert response.headers["Content-Type"] == "text/csv; charset=windows-1252"
    assert "Penstock-Warning" not in response.headers

    # And raw or plain where that is asked for
    assert table(results(door, job, "format=csv&raw=true"), "cp1252", ";")[1][3] == "=1+1"
    plain = results(door, job, "format=csv&plain=true")
    assert plain.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert table(plain, "utf-8-sig", ",")[1][2:4] == ["1.234,50 €", "'=1+1"]
    assert table(plain, "utf-8-sig", ",")[1][9].startswith("0.0000")
    assert table(results(door, job, "format=tsv"), "utf-8-sig", "\t")[0][2:4] == ["Preis", "answer"]
    assert sheet(results(door, job, "format=xlsx")).active["C2"].value == "1.234,50 €"


def test_answers_that_the_encoding_cannot_hold_come_in_utf8_and_say_so(door, worker):
    job = door.upload("a.csv", GERMAN.encode("cp1252"), template="{{ Größe }}").get_json()
    worker.end(job, [0], answer=rb'{"content":[{"type":"text","text":"\u597d"}]}')

    response = results(door, job)
    assert response.data.startswith(b"\xef\xbb\xbf")
    assert table(response, "utf-8-sig", ";")[1][:4] == ["1", "schön", "1.234,50 €", "好"]
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Penstock-Warning"] == (
        "the answers have characters that windows-1252, the encoding of the input, does not have: this file"
        " is in UTF-8"
    )


def test_a_tsv_file_comes_back_as_one(door, worker):
    job = door.upload("a.tsv", b"id\ttext\n1\tgood\n", template=TEMPLATE, name="a.tsv").get_json()
    worker.end(job, [0], answer=said("Ja, so."))

    for query in ("format=csv", "format=tsv"):
        response = results(door, job, query)
        assert response.data.startswith(b"id\ttext\tanswer\tstatus\t")
        assert b"1\tgood\tJa, so.\tsucceeded\t" in response.data
        assert response.data.endswith(b"\n")
        assert b"\r" not in response.data
        assert response.headers["Content-Type"] == "text/tab-separated-values; charset=utf-8"
        assert 'filename="a.results.tsv"' in response.headers["Content-Disposition"]


def test_a_workbook_comes_back_with_columns_added(door, worker):
    # Given a workbook with a blank row, a date and another sheet
    def fill(book):
        book.active["C2"].number_format = "dd.mm.yyyy"
        book.create_sheet("Zweites")["A1"] = "=1+1"

    rows = (["id", "text", "day"], [1, "a", 45689], [], [2, "b"], [3, "c"])
    content = workbook(*rows, fill=fill)
    job = door.upload("sales.xlsx", content, template=TEMPLATE, name="sales.xlsx").get_json()
    assert [warning for warning in job["warnings"] if "plain" in warning] == []
    worker.end(job, [0], answer=said("=1+1"))
    worker.end(job, [2], error=("invalid_request", "no"))

    # When it is asked for before its end, then the rows that have ended have their results
    response = results(door, job, "format=xlsx")
    book = sheet(response)
    assert book.sheetnames == ["Umsatz", "Zweites"]
    found = [[cell.value for cell in row] for row in book.active["D1:H5"]]
    assert found == [
        ["answer", "status", "stop_reason", "error", "input_tokens"],
        ["=1+1", "succeeded", None, None, 10],
        [None] * 5,
        [None] * 5,
        [None, "failed", None, "invalid_request: no", None],
    ]
    assert (book.active["C2"].value.isoformat(), book.active["C2"].number_format) == (
        "2025-02-01T00:00:00",
        "dd.mm.yyyy",
    )
    assert book.active["D2"].data_type == "s"
    assert book["Zweites"]["A1"].value == "=1+1"
    assert 'filename="sales.results.xlsx"' in response.headers["Content-Disposition"]

    # And after it all of them; a plain sheet, one in the order of ends, or a CSV file on request
    worker.end(job, [1], answer=said("Ja."))
    assert sheet(results(door, job, "format=xlsx")).active["D4"].value == "Ja."
    for query in ("format=xlsx&plain=true", "format=xlsx&order=completion"):
        assert sheet(results(door, job, query)).sheetnames == ["answers"]
    assert table(results(door, job), "utf-8-sig", ",")[1][:4] == ["1", "a", "2025-02-01", "'=1+1"]


def test_a_workbook_with_macros_stays_one(door, worker):
    # Given a workbook whose content types say that it has macros
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook(["text"], ["a"]))) as old, zipfile.ZipFile(out, "w") as new:
        for part in old.namelist():
            content = old.read(part)
            if part == "[Content_Types].xml":
                content = content.replace(
                    b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
                    b"application/vnd.ms-excel.sheet.macroEnabled.main+xml",
                )
            new.writestr(part, content)
        new.writestr("xl/vbaProject.bin", b"\0not looked into")
    job = door.upload("tool.xlsm", out.getvalue(), template=TEMPLATE, name="tool.xlsm").get_json()
    worker.end(job, [0])

    # Then it is one when it comes back, by its name and its type as well
    response = results(door, job, "format=xlsx")
    parts = zipfile.ZipFile(io.BytesIO(response.data))
    assert b"macroEnabled" in parts.read("[Content_Types].xml")
    assert parts.read("xl/vbaProject.bin") == b"\0not looked into"
    assert response.headers["Content-Type"] == "application/vnd.ms-excel.sheet.macroEnabled.12"
    assert 'filename="tool.results.xlsm"' in response.headers["Content-Disposition"]


def test_a_workbook_that_cannot_come_back_is_told_before_and_after(door, worker, monkeypatch):
    # Given a workbook whose sheet is full
    wide = workbook(["text"], ["a"], fill=lambda book: book.active.merge_cells("A1:XFD1"))
    why = (
        "the answers in XLSX will be a plain sheet, not your workbook with columns added: the last of the"
        " 16,384 columns that a sheet can have are used"
    )

    # Then its quote, its job and its file say so
    quoted = door.upload("a.xlsx", wide, path=f"{JOBS}/estimate", template=TEMPLATE).get_json()
    assert why in quoted["warnings"]
    job = door.upload("a.xlsx", wide, template=TEMPLATE).get_json()
    assert job["warnings"] == [why]
    worker.end(job, [0])
    response = results(door, job, "format=xlsx")
    assert response.headers["Penstock-Warning"] == why
    assert [cell.value for cell in sheet(response).active[2]][:3] == ["a", "Good.", "succeeded"]

    # And nothing of it is in the store
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 0


def test_a_quote_keeps_no_workbook(door):
    quoted = door.upload("a.xlsx", workbook(["text"], ["a"]), path=f"{JOBS}/estimate", template=TEMPLATE)

    assert quoted.status_code == 200
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 0


def test_a_submission_that_is_refused_or_repeated_leaves_no_workbook(door):
    # Given a workbook, submitted twice with one key and then once without a template
    content, key = workbook(["text"], ["a"]), {"Idempotency-Key": "once"}
    first = door.upload("a.xlsx", content, headers=key, template=TEMPLATE)
    again = door.upload("a.xlsx", content, headers=key, template=TEMPLATE)
    refused = door.upload("a.xlsx", content, template="{{ other }}")

    # Then it is kept once
    assert (first.status_code, again.headers["Idempotency-Replayed"], refused.status_code) == (
        202,
        "true",
        422,
    )
    with reading() as session:
        assert len(session.scalars(select(Blob.key)).all()) == 1


def test_a_workbook_is_the_tenants_own_and_goes_with_its_job(door, worker):
    # Given a job with a workbook
    job = door.upload("a.xlsx", workbook(["text"], ["a"]), template=TEMPLATE).get_json()
    worker.end(job, [0])
    with reading() as session:
        key = session.scalars(select(Blob.key)).one()
    assert str(door.get("/api/v1/me").get_json()["tenant_id"]) in key
    assert door.other().get(f"{job['links']['results']}?format=xlsx").status_code == 404

    # When its content is due
    long_ago = update(Job).where(Job.id == number_of(job)).values(status="completed", ended_at=now(-1e9))
    in_transaction(lambda session: session.execute(long_ago))
    assert object_removal.remove_chunk().objects == 1
    while in_transaction(retention.remove_content).rows:
        pass

    # Then nothing is left of it
    with pytest.raises(NotFound):
        store().get(key)
    with reading() as session:
        assert session.scalars(select(JobTable.job_id)).all() == []
        assert session.scalars(select(Blob.id)).all() == []
    assert door.get(f"{job['links']['results']}?format=xlsx").status_code == 410


def test_a_workbook_that_has_gone_from_the_store_is_a_plain_sheet(door, worker):
    job = door.upload("a.xlsx", workbook(["text"], ["a"]), template=TEMPLATE).get_json()
    worker.end(job, [0])
    with reading() as session:
        store().delete(session.scalars(select(Blob.key)).all())

    response = results(door, job, "format=xlsx")
    assert "not in the object store any more" in response.headers["Penstock-Warning"]
    assert sheet(response).active["B2"].value == "Good."
