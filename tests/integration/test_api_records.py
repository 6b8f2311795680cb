"""Records and results over REST: live from the first answer on, and the same bytes whenever they are read."""

import csv
import io
import json
import uuid

import openpyxl
import pytest
from sqlalchemy import update

from app.core.reading import records
from models import Job, RecordOutput
from models.base import now, record_uid
from models.session import in_transaction
from tests.support.front_door import JOBS, Door, Worker, number_of

pytestmark = pytest.mark.one_database

# A provider's answer: its spaces, key order and escapes are its own.
RAW = (
    b'{ "z":1, "content": [{"type":"text","text":"caf\\u00e9 \\u0000 \\ud83d"}],  "a": 1.50e3 ,'
    b' "n":12345678901234567890}'
)


@pytest.fixture
def door(environment):
    return Door()


@pytest.fixture
def worker(environment):
    return Worker()


def test_records_are_there_from_the_first_answer_on(door, worker):
    # Given a job of five of which one has ended, one failed and one is in flight
    job = door.submit(5)
    worker.end(job, [1])
    worker.end(job, [3], error=("invalid_request", "no \0 and \ud800"))
    worker.claim(job, [4])

    # When its records are read
    records = door.get(job["links"]["records"]).get_json()["data"]

    # Then each is told with what is known of it
    assert [record["status"] for record in records] == [
        "pending",
        "succeeded",
        "pending",
        "failed",
        "running",
    ]
    assert [record["index"] for record in records] == [0, 1, 2, 3, 4]
    assert [record["custom_id"] for record in records] == ["r0", "r1", "r2", "r3", "r4"]
    assert records[1]["response"]["content"][0]["text"] == "Good."
    assert records[1]["usage"] == {
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
    }
    assert (records[1]["attempts"], records[1]["latency_ms"], records[1]["cost"]) == (1, 250, "0.00")
    assert records[1]["ended_at"].endswith("Z")
    assert records[3]["error"] == {"type": "invalid_request", "message": "no \0 and \ud800"}
    assert records[3]["response"] is None
    assert (records[4]["attempts"], records[4]["ended_at"]) == (1, None)
    assert records[4]["started_at"] is not None
    assert records[0]["id"] == record_uid(_uid(job), 0)


def test_a_records_line_is_the_same_bytes_during_and_after_the_job_and_in_every_place(door, worker):
    # Given an answer as its provider wrote it, read while the job runs
    job = door.submit(3)
    worker.end(job, [1], answer=RAW)
    during = door.get(job["links"]["results"]).data
    page = door.get(f"{job['links']['records']}?status=succeeded").data

    # When the job has ended
    worker.end(job, [0, 2])
    door.post(f"{JOBS}/{job['id']}/cancel")

    # Then its line is what it was, and the answer in it is the provider's own bytes
    after = door.get(job["links"]["results"]).data.splitlines()
    [line] = during.splitlines()
    assert after[1] == line
    assert page == b'{"data":[' + line + b'],"next_cursor":null}'
    assert b'"response":' + RAW + b"," in line
    assert len(after) == 3


def test_an_id_with_half_a_surrogate_pair_in_an_answer_comes_back(door, worker):
    job = door.submit([{"prompt": "half \ud83d", "custom_id": "é 😀"}])
    worker.end(job, [0], answer=RAW)

    [line] = door.get(job["links"]["results"]).data.splitlines()

    assert json.loads(line)["custom_id"] == "é 😀"
    assert json.loads(line)["response"]["content"][0]["text"] == "café \0 \ud83d"
    assert line.isascii()


def test_records_are_filtered_by_what_they_are_and_paged_by_a_cursor(door, worker):
    job = door.submit(10)
    worker.end(job, [1, 4, 7])
    worker.end(job, [2], error=("x", "y"))

    assert _indices(door, job, status="succeeded", limit=2) == [[1, 4], [7]]
    assert _indices(door, job, status="failed") == [[2]]
    assert _indices(door, job, status="pending", limit=4) == [[0, 3, 5, 6], [8, 9]]
    assert _indices(door, job, limit=5) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert _indices(door, job, status="expired") == [[]]


def test_a_query_that_cannot_be_used_is_named(door):
    job = door.submit(1)
    for query in ("status=done", "limit=0", "limit=1001", "cursor=%00", "page=2"):
        response = door.get(f"{job['links']['records']}?{query}")

        assert response.status_code == 422, query
        [problem] = response.get_json()["error"]["details"]["problems"]
        assert problem["where"] == query.partition("=")[0]


@pytest.mark.parametrize("word", ["cancelled", "expired"])
def test_the_pending_records_of_a_closed_job_are_what_it_was_closed_as(door, worker, word):
    # Given a job of which one record was answered and one is in flight
    job = door.submit(4)
    worker.end(job, [0])
    worker.claim(job, [1])

    # When one word closes it, while the rows of its records are as they were
    in_transaction(
        lambda session: session.execute(
            update(Job).where(Job.id == number_of(job)).values(status="cancelling", closed_as=word)
        )
    )

    # Then lists, counts and results agree on what its pending records are
    assert door.job(job)["counts"][word] == 2
    assert door.job(job)["counts"]["pending"] == 0
    assert door.job(job)["counts"]["running"] == 1
    assert _indices(door, job, status=word) == [[2, 3]]
    assert _indices(door, job, status="pending") == [[]]
    for order in ("input", "completion"):
        results = _results(door, job, order=order)
        assert [(record["index"], record["status"]) for record in results] == [
            (0, "succeeded"),
            (2, word),
            (3, word),
        ]
    assert results[1]["error"] is None


def test_results_come_in_the_order_of_the_input_or_of_their_completion(door, worker):
    job = door.submit(5)
    for index in (3, 0, 4):
        worker.end(job, [index])

    assert [record["index"] for record in _results(door, job)] == [0, 3, 4]
    assert [record["index"] for record in _results(door, job, order="completion")] == [3, 0, 4]


def test_results_of_any_length_are_read_page_by_page(door, worker, monkeypatch):
    # Given pages of seven records, and as many as two bytes of contents
    monkeypatch.setattr(records, "LONG", 7)
    job = door.submit(30)
    for index in reversed(range(30)):
        worker.end(job, [index], tell=False)

    assert [record["index"] for record in _results(door, job)] == list(range(30))
    assert [record["index"] for record in _results(door, job, order="completion")] == list(
        reversed(range(30))
    )
    monkeypatch.setattr(records, "PAGE_BYTES", 2)
    assert [record["index"] for record in _results(door, job)] == list(range(30))
    assert _indices(door, job, limit=30) == [[index] for index in range(30)]


def test_a_table_gets_its_own_columns_back_with_the_answers_beside_them(door, worker):
    # Given a table, its columns in its own order, with a blank row and an empty cell
    sheet = b'stars,review,answer\r\n5,"good, ""really""",x\r\n,,\r\n1,,y\r\n'
    asked = {"template": "{{ stars }}: {{ review }}", "name": "Bücher & co.csv"}
    job = door.upload("Bücher & co.csv", sheet, **asked).get_json()
    worker.end(job, [0], answer=b'{"content":[{"type":"text","text":"=1+1"},{"type":"text","text":"!"}]}')
    worker.end(job, [1], error=("invalid_request", "empty"))

    # When it is asked for as CSV
    response = door.get(f"{job['links']['results']}?format=csv")

    # Then it is the table with its answers, under a name that says whose they are
    header, first, second = csv.reader(io.StringIO(response.data.decode("utf-8-sig")))
    assert header[:4] == ["stars", "review", "answer", "penstock_answer"]
    assert first[:5] == ["5", 'good, "really"', "x", "'=1+1!", "succeeded"]
    assert second[:7] == ["1", "", "y", "", "failed", "", "invalid_request: empty"]
    assert job["skipped_rows"] == [3]
    assert "filename*=UTF-8''B%C3%BCcher%20%26%20co.results.csv" in response.headers["Content-Disposition"]
    assert 'filename="B_cher_co.results.csv"' in response.headers["Content-Disposition"]

    # And as XLSX no answer is a formula
    book = openpyxl.load_workbook(io.BytesIO(door.get(f"{job['links']['results']}?format=xlsx").data))
    cell = book.active["D2"]
    assert (cell.value, cell.data_type) == ("=1+1!", "s")


def test_a_job_that_was_no_table_becomes_one_by_index_and_id(door, worker):
    job = door.submit(2)
    worker.end(job, [0, 1])

    rows = list(
        csv.DictReader(
            io.StringIO(door.get(f"{job['links']['results']}?format=csv").data.decode("utf-8-sig"))
        )
    )

    assert [(row["index"], row["custom_id"], row["answer"]) for row in rows] == [
        ("0", "r0", "Good."),
        ("1", "r1", "Good."),
    ]


def test_content_that_was_deleted_is_a_410_and_the_books_stay(door, worker):
    job = door.submit(1)
    worker.end(job, [0])
    in_transaction(
        lambda session: session.execute(
            update(Job).where(Job.id == number_of(job)).values(content_removed_at=now())
        )
    )

    for path in (job["links"]["records"], job["links"]["results"]):
        response = door.get(path)
        assert response.status_code == 410
        assert response.get_json()["error"]["type"] == "gone"
    assert door.job(job)["counts"]["succeeded"] == 1


def test_records_of_a_retried_job_are_asked_again(door, worker):
    # Given a failed record whose output went with the retry
    job = door.submit(1)
    worker.end(job, [0], error=("x", "y"))
    in_transaction(
        lambda session: session.execute(RecordOutput.__table__.delete().where(RecordOutput.idx == 0))
    )

    [record] = door.get(job["links"]["records"]).get_json()["data"]

    assert (record["error"], record["response"], record["ended_at"]) == (None, None, None)


def _indices(door, job, **query):
    """Pages of indices."""
    pages = []
    while True:
        page = door.get(job["links"]["records"], query_string=query).get_json()
        pages.append([record["index"] for record in page["data"]])
        if page["next_cursor"] is None:
            return pages
        query["cursor"] = page["next_cursor"]


def _results(door, job, **query):
    response = door.get(job["links"]["results"], query_string=query)
    assert response.status_code == 200
    return [json.loads(line) for line in response.data.splitlines()]


def _uid(job):
    return uuid.UUID(job["id"])
