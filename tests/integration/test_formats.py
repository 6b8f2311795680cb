"""Files of many formats over REST: what comes in one goes back in the form in which it came."""

import csv
import datetime as dt
import io
import json
from decimal import Decimal

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from app.core.documents.open_store import store
from models import Blob
from models.session import reading
from tests.support.front_door import JOBS, Door, Worker
from tests.support.other_sheets import EXCEL_97, ods, xlsb

pytestmark = pytest.mark.one_database


@pytest.fixture
def door(environment):
    return Door()


@pytest.fixture
def worker(environment):
    return Worker()


def said(text):
    return json.dumps({"content": [{"type": "text", "text": text}]}).encode()


def results(door, job, format, **query):
    response = door.get(job["links"]["results"], query_string={"format": format, **query})
    assert response.status_code == 200, response.text
    return response


def test_a_json_list_comes_back_as_one_with_the_answers_in_its_objects(door, worker):
    # Given a list of rows of which not every one has every cell
    rows = [{"text": "good", "tags": ["a"]}, {"text": "bad", "stars": 1}, {"text": "late"}]
    job = door.upload("rows.json", json.dumps(rows).encode(), template="Judge {{ text }}").get_json()
    worker.end(job, [0], answer=said('=1+1\n"ä"'))
    worker.end(job, [1], error=("timeout", "too slow"))

    # Then what has ended is there as it came, and the answers are texts
    response = results(door, job, "json")
    assert response.mimetype == "application/json"
    first, second = json.loads(response.data)
    assert list(first)[:4] == ["text", "tags", "answer", "status"]
    assert (first["tags"], first["answer"], first["status"]) == (["a"], '=1+1\n"ä"', "succeeded")
    assert (second["stars"], second["answer"], second["error"]) == (1, None, "timeout: too slow")

    # And its columns are those of every other table
    header = results(door, job, "csv").data.decode("utf-8-sig").splitlines()[0]
    assert header.startswith("text,tags,stars,answer,status")


def test_of_a_job_without_a_table_a_json_list_names_its_records(door, worker):
    job = door.submit(2)
    assert json.loads(results(door, job, "json").data) == []
    worker.end(job, [1], answer=said("Good."))
    (only,) = json.loads(results(door, job, "json").data)
    assert (only["index"], only["custom_id"], only["answer"]) == (1, "r1", "Good.")


SHEET = [["id", "text", "ok"], [1, "schön", True], [2.5, "", False], [3, "spät", False]]


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.ods", ods(SHEET, "Daten"), [(1, "schön"), (3, "spät")]),
        ("a.xlsb", xlsb(SHEET, "Daten"), [(1, "schön"), (3, "spät")]),
        ("a.xls", EXCEL_97.read_bytes(), [(1, "schön 1"), (2, "schön 2"), (3, "schön 3")]),
    ],
)
def test_a_workbook_of_another_kind_is_asked_and_comes_back_as_xlsx(door, worker, name, content, rows):
    # Given a sheet whose merged, hidden or empty cells are read as far as the format tells them
    job = door.upload(name, content, template="{{ text }}").get_json()
    worker.end(job, [0], answer=said("=1+1"))

    # Then rows without a text are not asked, and what is not known of the format is said
    assert job["total"] >= len(rows)
    assert any("which rows are hidden" in warning for warning in job["warnings"])
    assert any("plain sheet" in warning for warning in job["warnings"])

    # And the answers come as a sheet of texts and numbers
    book = openpyxl.load_workbook(io.BytesIO(results(door, job, "xlsx").data))
    header, first = book.active.iter_rows(max_row=2, values_only=True)
    assert header[:2] == ("id", "text")
    assert first[:2] == rows[0]
    assert "=1+1" in first


def test_what_such_a_workbook_cannot_tell_or_does_not_have_is_refused(door):
    content = ods(SHEET, "Daten")
    for fields, why in (
        ({"visible_only": "true"}, "which rows of ODS are hidden is not known"),
        ({"sheet": "Plan"}, 'no sheet "Plan"; it has "Daten"'),
    ):
        refused = door.upload("a.ods", content, template="{{ text }}", **fields)
        assert (refused.status_code, why in refused.text.replace("\\", "")) == (422, True), refused.text
    cut = door.upload("a.xlsb", xlsb(SHEET)[:-60], template="{{ text }}")
    assert cut.status_code == 422
    assert "cut short or damaged" in cut.text


TEMPLATE = "{{ text }} {{ when }} {{ tags }} {{ price }}"


def parquet(rows=3):
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.UTC)
    out = io.BytesIO()
    columns = {
        "id": pa.array(range(rows), pa.uint8()),
        "text": pa.array(["good", None, "bad"][:rows]).dictionary_encode(),
        "when": pa.array([moment] * rows, pa.timestamp("ns", "UTC")),
        "price": pa.array([Decimal("1.50")] * rows, pa.decimal128(9, 2)),
        "tags": pa.array([["a", "b"]] * rows),
        "answer": pa.array([float("nan")] * rows, pa.float32()),
    }
    pq.write_table(pa.table(columns), out, row_group_size=2)
    return out.getvalue()


def table(response):
    return pq.read_table(io.BytesIO(response.data))


def test_a_parquet_file_comes_back_with_its_own_types_and_typed_answers(door, worker):
    # Given a file with types that JSON lacks, and a row that is not asked
    content = parquet()
    job = door.upload("a.parquet", content, template=TEMPLATE).get_json()
    quote = door.upload("a.parquet", content, path=f"{JOBS}/estimate", template=TEMPLATE).get_json()
    assert quote["first_prompt"] == 'good 2026-01-02T03:04:05.000006+00:00 ["a","b"] 1.50'
    worker.end(job, [2], answer=said("Bad."))

    # Then its own columns are the very same, and those of the answers are behind them
    got = table(results(door, job, "parquet"))
    own = pq.read_table(io.BytesIO(content))
    assert got.select(own.column_names).schema.equals(own.schema)
    assert got["price"].equals(own["price"])
    assert got["when"].equals(own["when"])
    assert got["penstock_answer"].to_pylist() == [None, None, "Bad."]
    assert got.schema.field("input_tokens").type == pa.int64()
    assert got.schema.field("cost").type == pa.float64()

    # And without the object in the store it is a file whose types its values show
    with reading() as session:
        store().delete(list(session.scalars(select(Blob.key))))
    response = results(door, job, "parquet")
    assert "not in the object store" in response.headers["Penstock-Warning"]
    new = table(response)
    assert new.num_rows == 1
    assert (new["id"].to_pylist(), new["price"].to_pylist()) == ([2], ["1.50"])
    assert new["tags"].to_pylist() == ['["a","b"]']


def test_any_table_can_become_a_parquet_file(door, worker):
    job = door.upload(
        "rows.json", b'[{"a": 1, "b": true}, {"a": 2.5, "c": "x"}]', template="{{ a }}"
    ).get_json()
    worker.end(job, [0, 1], answer=said("\U0001f600"))
    got = table(results(door, job, "parquet"))
    assert [str(field.type) for field in got.schema][:4] == ["double", "bool", "string", "string"]
    assert got["b"].to_pylist() == [True, None]
    assert got["answer"].to_pylist() == ["\U0001f600"] * 2
    assert (
        table(
            results(door, door.upload("a.csv", b"t\n007\n", template="{{ t }}").get_json(), "parquet")
        ).num_rows
        == 0
    )


def test_a_file_that_only_begins_and_ends_as_parquet_is_refused(door):
    refused = door.upload("a.parquet", b"PAR1" + b"\0" * 100 + b"PAR1", template="{{ t }}")
    assert refused.status_code == 422
    assert "cannot be read as Parquet" in refused.text


def test_each_row_is_asked_several_prompts_and_stays_one_row(door, worker):
    # Given a sheet with a blank row, whose others are asked two prompts each
    asks = ["summary: Sum up {{ text }}", {"name": "tone", "template": "Tone of {{ text }}? {{ mood }}"}]
    sheet = b"id,text,mood\n1,good,x\n2,,\n3,bad,\n"
    fields = {"asks": json.dumps(asks), "system": "Be {{ brief }}"}
    job = door.upload("a.csv", sheet, **fields).get_json()
    quote = door.upload("a.csv", sheet, path=f"{JOBS}/estimate", **fields).get_json()
    assert (job["total"], quote["records"], quote["first_prompt"]) == (4, 4, "Sum up good")

    # When three of the four records have ended, one of them badly
    worker.end(job, [0], answer=said("A summary."), model="claude-haiku-4-5")
    worker.end(job, [1], answer=said("=kind"), model="claude-haiku-4-5")
    worker.end(job, [3], error=("timeout", "too slow"))

    # Then each row stands there once, with what came of all its records
    lines = results(door, job, "csv").data.decode("utf-8-sig").splitlines()
    header, first, second = csv.reader(lines)
    assert header == [
        *("id", "text", "mood", "summary", "tone", "status", "stop_reason", "error"),
        *("input_tokens", "output_tokens", "cost"),
    ]
    assert first[:6] == ["1", "good", "x", "A summary.", "'=kind", "succeeded"]
    assert first[8:10] == ["20", "10"]
    assert Decimal(first[10]) > 0
    assert second[:6] == ["3", "bad", "", "", "", "failed"]
    assert second[7] == "tone: timeout: too slow"

    # And records have their own places, whoever reads them
    records = door.get(f"/api/v1/jobs/{job['id']}/records").get_json()["data"]
    assert [record["index"] for record in records] == [0, 1, 2, 3]


def test_several_prompts_go_into_a_workbook_and_a_parquet_file_of_ones_own(door, worker):
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in (["text"], ["good"], [None], ["bad"]):
        book.active.append(row)
    book.save(out)
    for name, content, format in (("a.xlsx", out.getvalue(), "xlsx"), ("a.parquet", parquet(), "parquet")):
        job = door.upload(name, content, asks='["a: A {{ text }}", "b: B {{ text }}"]').get_json()
        worker.end(job, [2, 3], answer=said("Bad."))
        response = results(door, job, format)
        if format == "xlsx":
            rows = list(openpyxl.load_workbook(io.BytesIO(response.data)).active.iter_rows(values_only=True))
            assert rows[0][:4] == ("text", "a", "b", "status")
            assert [row[:3] for row in rows[1:]] == [
                ("good", None, None),
                (None, None, None),
                ("bad", "Bad.", "Bad."),
            ]
        else:
            assert table(response)["a"].to_pylist() == [None, None, "Bad."]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"asks": "[]"}, "1 to 20"),
        ({"asks": '["a: x", "a: y"]'}, "given twice"),
        ({"asks": '["a: {{ nobody }}"]'}, "nobody"),
        ({"asks": '["a"]'}, "give each a name"),
        ({"asks": '["a: x {{ text }}"]', "template": "{{ text }}"}, "in place of `template`"),
        ({"asks": "a: x"}, "give JSON"),
    ],
)
def test_prompts_that_cannot_be_asked_are_refused(door, fields, why):
    refused = door.upload("a.csv", b"text\nx\n", **fields)
    assert (refused.status_code, why in refused.text) == (422, True), refused.text
    native = door.post_records([{"prompt": "x"}], asks=["a: {{ text }}"])
    assert native.status_code == 422
