"""Answers of an earlier job that a new one takes over: of equal requests alone, told, and not paid again."""

import json

import pytest

from app.core.money import reconciliation
from app.core.reading.records import snapshot
from tasks import advance
from tests.support.front_door import JOBS, Door, Worker, number_of

ROWS = [{"custom_id": f"r{number}", "prompt": f"Say {number}"} for number in range(8)]


@pytest.fixture
def door(environment) -> Door:
    return Door()


@pytest.fixture
def sample(door):
    """A job of the first four rows, of which the third failed."""
    job = door.submit(ROWS[:4], system="Be brief.")
    worker = Worker()
    worker.end(job, [0, 1, 3])
    worker.end(job, [2], error=("invalid_request", "too long"))
    advance.run(number_of(job))
    return job


def lines(door, job):
    text = door.get(f"{JOBS}/{job['id']}/results").get_data(as_text=True)
    return [json.loads(line) for line in text.splitlines()]


def test_equal_requests_have_the_answers_of_the_sample_and_the_others_are_asked(door, sample):
    # When all rows are submitted
    job = door.submit(ROWS, system="Be brief.", reuse=sample["id"])

    # Then those that succeeded are there, told and free, and the failed one is asked with the rest
    shown = door.job(job)
    assert shown["reused"] == 3
    assert shown["counts"]["succeeded"] == 3
    assert shown["cost"] == "0.00"
    records = {line["index"]: line for line in lines(door, job)}
    assert sorted(records) == [0, 1, 3]
    before = {line["index"]: line for line in lines(door, sample)}
    for index, record in records.items():
        assert record["response"] == before[index]["response"]
        assert (record["reused"], record["cost"], record["attempts"]) == (True, "0.00", 0)
    assert "reused" not in before[0]

    # And when the rest has ended, the job is whole, and the books agree
    Worker().end(job, [2, 4, 5, 6, 7])
    advance.run(number_of(job))
    assert door.job(job)["status"] == "completed"
    assert [line["index"] for line in lines(door, job)] == list(range(8))
    with snapshot() as session:
        assert list(reconciliation.Check(session).differences()) == []


def test_a_job_whose_answers_are_all_there_has_ended_without_a_call(door, sample):
    job = door.submit(ROWS[:2], system="Be brief.", reuse=sample["id"])
    advance.run(number_of(job))
    shown = door.job(job)
    assert (shown["status"], shown["reused"], shown["cost_remaining"]) == ("completed", 2, "0.00")


@pytest.mark.one_database
@pytest.mark.parametrize(
    "change",
    [
        {"system": "Be long."},
        {"max_tokens": 7},
        {"params": {"temperature": 0}},
        {"schema": {"type": "object"}},
        {"records": [{**row, "prompt": f"Tell {row['prompt']}"} for row in ROWS]},
        {"records": [{**row, "max_tokens": 9} for row in ROWS]},
        {"records": [{**row, "conversation": "one"} for row in ROWS]},
        {"records": ROWS[1:]},
    ],
    ids="-".join,
)
def test_another_question_takes_nothing_over(door, sample, change):
    asked = {"records": ROWS, "system": "Be brief.", "reuse": sample["id"]} | change
    job = door.submit(**asked)
    assert door.job(job)["reused"] == 0


@pytest.mark.one_database
def test_a_quote_counts_what_is_still_to_be_asked_alone(door, sample):
    fields = {"model": "simulated", "records": ROWS, "system": "Be brief."}
    whole = door.post(f"{JOBS}/estimate", json=fields).get_json()
    rest = door.post(f"{JOBS}/estimate", json={**fields, "reuse": sample["id"]}).get_json()
    none = door.post(
        f"{JOBS}/estimate", json={**fields, "records": ROWS[:2], "reuse": sample["id"]}
    ).get_json()
    assert (whole["records"], whole["reused"]) == (8, 0)
    assert (rest["records"], rest["reused"]) == (5, 3)
    assert rest["output_tokens"]["high"] == whole["output_tokens"]["high"] * 5 // 8
    assert (none["records"], none["reused"], none["output_tokens"]["high"]) == (0, 2, 0)
    assert whole["first_prompt"] == "Say 0"


@pytest.mark.one_database
@pytest.mark.parametrize("name", ["nonsense", "01a21c88-9471-76a0-b921-992ae0a906d7"])
def test_a_job_that_is_not_there_is_refused_by_name(door, name):
    refused = door.post_records(ROWS, reuse=name)
    assert refused.status_code == 422
    assert f"there is no job '{name}'" in refused.get_json()["error"]["message"]


@pytest.mark.one_database
def test_another_tenants_answers_are_nobodys_to_take(door, sample):
    refused = door.other().post_records(ROWS, system="Be brief.", reuse=sample["id"])
    assert refused.status_code == 422


@pytest.mark.one_database
def test_a_job_in_chunks_takes_over_what_lies_in_each(door, monkeypatch):
    monkeypatch.setattr("app.ingest.spool.CHUNK_DRAFTS", 3)
    sample = door.submit(ROWS)
    Worker().end(sample, [1, 4, 7])
    job = door.submit(ROWS, reuse=sample["id"])
    assert door.job(job)["reused"] == 3
    assert [line["index"] for line in lines(door, job)] == [1, 4, 7]
