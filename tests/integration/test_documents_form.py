"""Documents as parts of a form: stored as they come, read where a model cannot, given back as a sheet."""

import csv
import io
import json

import pytest
from sqlalchemy import func, select
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import encode_multipart

from app.core.documents.open_store import store
from app.ingest import documents
from models import Blob, RecordInput
from models.session import reading
from tests.support.documents import docx, pdf
from tests.support.front_door import JOBS, Door, Worker, number_of

pytestmark = pytest.mark.one_database

PAGE = "<!doctype html><style>b{}</style><h1>Rechnung</h1><p>Summe: <b>5</b> €</p><script>x</script>".encode()
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50


@pytest.fixture
def door(environment):
    return Door()


@pytest.fixture
def worker(environment):
    return Worker()


def send(door, files, headers=None, path=JOBS, **fields):
    parts = MultiDict({"model": "simulated", **fields})
    for name, content in files:
        parts.add("document", FileStorage(io.BytesIO(content), filename=name, name="document"))
    boundary, body = encode_multipart(parts)
    kind = f'multipart/form-data; boundary="{boundary}"'
    return door.post(path, data=body, content_type=kind, headers=headers or {})


def asked(job):
    with reading() as session:
        bodies = session.scalars(
            select(RecordInput.body).where(RecordInput.job_id == number_of(job)).order_by(RecordInput.idx)
        ).all()
    return [documents.read(body) for body in bodies]


def test_a_folder_of_documents_comes_back_as_a_sheet_with_their_names_and_pages(door, worker):
    # Given documents of every kind, one of them in a folder
    files = [
        ("2026/a.pdf", pdf(3)),
        ("letter.docx", docx("Dear all,", "it is due on 5 May.")),
        ("page.html", PAGE),
        ("notes.md", "# Nötig".encode()),
        ("scan.png", PNG),
    ]
    job = send(door, files, prompt="What is due?").get_json()
    assert job["total"] == 5

    # Then a model gets PDF, pictures and text as they are, and of the others the text alone
    found = asked(job)
    assert [one.media_type for one in found] == ["application/pdf", *["text/plain"] * 3, "image/png"]
    assert store().get(found[0].key) == files[0][1]
    assert store().get(found[1].key).decode() == "Dear all,\n\nit is due on 5 May."
    assert store().get(found[2].key).decode() == "# Rechnung\n\nSumme: **5** €"

    # And the answers stand beside names and numbers of pages
    worker.end(job, range(5), answer=b'{"content":[{"type":"text","text":"5 May"}]}')
    for format, separator in (("csv", ","), ("tsv", "\t")):
        text = door.get(job["links"]["results"], query_string={"format": format}).data.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
        assert rows[0][:3] == ["file", "page count", "answer"]
        assert [row[:3] for row in rows[1:3]] == [["2026/a.pdf", "3", "5 May"], ["letter.docx", "", "5 May"]]
    listed = json.loads(door.get(job["links"]["results"], query_string={"format": "json"}).data)
    assert (listed[0]["file"], listed[0]["page count"], listed[1]["page count"]) == ("2026/a.pdf", 3, None)


@pytest.mark.parametrize("how", [{"fields": "due: date"}, {"schema": '{"type": "object"}'}])
def test_fields_without_a_prompt_read_documents_as_well(door, how):
    job = send(door, [("a.pdf", pdf(3)), ("page.html", PAGE)], **how).get_json()

    found = asked(job)
    assert [(one.media_type, one.pages) for one in found] == [("application/pdf", 3), ("text/plain", None)]
    assert store().get(found[1].key).decode() == "# Rechnung\n\nSumme: **5** €"


def test_every_file_that_cannot_be_read_is_named_and_nothing_is_kept(door):
    files = [
        ("fine.pdf", pdf(1)),
        ("cut.docx", docx("x")[:-40]),
        ("locked.pdf", pdf(1, "secret")),
        ("blank.html", b"<html><script>1</script></html>"),
        ("old.doc", b"\xd0\xcf\x11\xe0"),
    ]
    refused = send(door, files, prompt="What is due?")
    assert refused.status_code == 422
    problems = {one["where"]: one["message"] for one in refused.get_json()["error"]["details"]["problems"]}
    assert problems.keys() == {"cut.docx", "locked.pdf", "blank.html", "old.doc"}
    assert "damaged" in problems["cut.docx"]
    assert "protected by a password: save it without" in problems["locked.pdf"]
    assert "no text" in problems["blank.html"]
    assert "save it as one of them" in problems["old.doc"]
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 0


def test_the_same_form_again_is_the_same_job_whatever_parts_them(door):
    key = {"Idempotency-Key": "folder"}
    files = [("a.txt", b"one"), ("b.docx", docx("two"))]
    first = send(door, files, key, prompt="Sum up").get_json()
    again = send(door, files, key, prompt="Sum up")
    other = send(door, [("a.txt", b"three"), files[1]], key, prompt="Sum up")

    assert (again.get_json()["id"], again.headers["Idempotency-Replayed"]) == (first["id"], "true")
    assert other.status_code == 422
    with reading() as session:  # only the first one's: each file, and the text of one
        assert session.scalar(select(func.count()).select_from(Blob)) == 3


def test_documents_without_a_prompt_are_stored_as_they_came(door):
    content = docx("as it is")
    (only,) = asked(send(door, [("a.docx", content)]).get_json())
    assert store().get(only.key) == content


@pytest.mark.parametrize(
    ("fields", "path", "why"),
    [
        ({"prompt": "x", "rows": "1"}, JOBS, "rows"),
        ({"document": "text"}, JOBS, "give each of these parts a file name"),
        ({"prompt": "x"}, f"{JOBS}/estimate", "it has no quote"),
    ],
)
def test_what_documents_do_not_have_is_refused(door, fields, path, why):
    refused = send(door, [("a.txt", b"one")], path=path, **fields)
    assert (refused.status_code, why in refused.text) == (422, True), refused.text


def test_documents_in_json_have_these_columns_beside_their_own_ids(door, worker):
    content = {"content": "b25l", "filename": "one.txt"}
    job = door.submit([{"custom_id": "first", "document": content}], prompt="Sum up")
    worker.end(job, [0])
    (row,) = json.loads(door.get(job["links"]["results"], query_string={"format": "json"}).data)
    assert [row[name] for name in ("custom_id", "file", "page count")] == ["first", "one.txt", None]


def test_a_form_that_is_cut_in_a_document_leaves_nothing(door):
    start = b'--x\r\nContent-Disposition: form-data; name="document"; filename="a.txt"\r\n\r\n'
    for body in (start + b"y" * 2_000_000, start + b"y\r\n--x\r\nContent-Disposition"):
        cut = door.post(JOBS, data=body, content_type="multipart/form-data; boundary=x")
        assert cut.status_code == 422
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 0
