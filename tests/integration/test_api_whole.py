"""A job over REST from its submission to its results, with real workers behind the door."""

import csv
import io
import json

import pytest

from tests.support.front_door import JOBS
from tests.support.threaded_server import serving

SHEET = 'review;stars\r\nSchön!;5\r\n"two\nlines";4\r\n;\r\n好;3\r\n'.encode()

pytestmark = pytest.mark.one_database


@pytest.fixture
def served(running):
    with serving() as made:
        yield made


def test_a_table_is_submitted_followed_and_comes_back_with_its_answers(served):
    # Given a sheet with a template, watched from its submission on
    door = served.door
    job = door.upload("reviews.csv", SHEET, template="Judge: {{ review }}").get_json()
    with served.watch(job, timeout=60) as stream:
        told = list(stream)

    # Then the stream told each record once and ended with the job
    items = [item for event in told if event.kind == "records" for item in event.data["records"]]
    begun = told[0].data["counts"]["succeeded"]
    assert begun + len(items) == 3
    assert told[-1].data["status"] == "completed"
    assert told[-1].data["counts"]["succeeded"] == 3
    assert told[-1].data["skipped_rows"] == [4]

    # And the sheet comes back with an answer beside each row
    text = door.get(f"{job['links']['results']}?format=csv").data.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text), delimiter=";"))
    assert [(row["review"], row["stars"], row["status"]) for row in rows] == [
        ("Schön!", "5", "succeeded"),
        ("two\nlines", "4", "succeeded"),
        ("好", "3", "succeeded"),
    ]
    assert all(row["answer"] for row in rows)


def test_lines_read_while_a_job_runs_are_those_read_when_it_has_ended(served):
    # Given a job of which some records have ended
    job = served.door.submit(120, params={"simulate": {"latency_ms": 300}})
    with served.watch(job, timeout=60) as stream:
        while len(during := _results(served.door, job)) < 10:
            stream.next("records")

        # When it has ended
        for event in stream:
            last = event

    # Then every line is as it was
    after = _results(served.door, job)
    assert last.data["status"] == "completed"
    assert set(during) <= set(after)
    assert [json.loads(line)["index"] for line in after] == list(range(120))
    by_completion = served.door.get(f"{job['links']['results']}?order=completion").data.splitlines()
    assert sorted(by_completion) == sorted(after)


def test_a_job_that_is_cancelled_in_the_middle_keeps_what_it_has(served):
    # Given a job that takes long, and somebody who has seen its first answers
    job = served.door.submit(600, params={"simulate": {"latency_ms": 1500}})
    with served.watch(job, timeout=60) as stream:
        while len(_results(served.door, job)) < 5:
            stream.next("records")

        # When it is cancelled
        answer = served.door.post(f"{JOBS}/{job['id']}/cancel").get_json()
        for event in stream:
            last = event

    # Then it ends cancelled, each record is what it is, and what was answered stays
    assert answer["status"] in ("cancelling", "cancelled")
    assert last.data["status"] == "cancelled"
    counts = last.data["counts"]
    assert counts["succeeded"] >= 5
    assert counts["succeeded"] + counts["cancelled"] == 600
    lines = [json.loads(line) for line in _results(served.door, job)]
    assert len(lines) == 600
    assert sum(line["response"] is not None for line in lines) == counts["succeeded"]


def test_a_small_job_is_answered_within_the_call_that_submits_it(served):
    response = served.door.post_records(3, headers={"Prefer": "wait=30"})

    assert response.status_code == 200
    assert response.get_json()["status"] == "completed"


def test_what_failed_is_asked_again_and_what_succeeded_is_not(served):
    # Given a job whose records fail on their first attempt
    door = served.door
    wishes = {"simulate": {"error": "invalid_request", "share": 0.5, "times": 1}}
    job = door.post_records(20, params=wishes, headers={"Prefer": "wait=30"}).get_json()
    failed = job["counts"]["failed"]
    assert 0 < failed < 20

    # When it is retried
    assert door.post(f"{JOBS}/{job['id']}/retry").status_code == 200
    with served.watch(job, timeout=60) as stream:
        *_, last = stream

    # Then all have succeeded, the failed ones in two attempts
    assert last.data["counts"]["succeeded"] == 20
    attempts = [json.loads(line)["attempts"] for line in _results(door, job)]
    assert attempts.count(2) == failed


def _results(door, job):
    return door.get(job["links"]["results"]).data.splitlines()
