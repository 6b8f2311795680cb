"""What a job asks once, what it was answered before, and what it tries first: told, free, with true books."""

import json

import pytest

from app.core.money import reconciliation
from app.core.pipeline.selection import copies
from app.core.reading.records import snapshot
from app.providers.client import Usage
from models.session import reading
from tasks import advance
from tests.support.front_door import JOBS, Door, Worker, number_of

CLAUDE = "claude-haiku-4-5"
REVIEWS = ["good", "bad", "good", "odd", "good", "bad"]


@pytest.fixture
def door(environment) -> Door:
    return Door()


def rows(*texts: str) -> list[dict[str, object]]:
    return [{"review": text, "row": number} for number, text in enumerate(texts)]


def lines(door, job):
    text = door.get(f"{JOBS}/{job['id']}/results").get_data(as_text=True)
    return {line["index"]: line for line in map(json.loads, text.splitlines())}


def differences():
    with snapshot() as session:
        return list(reconciliation.Check(session).differences())


def test_equal_requests_are_asked_once_and_their_copies_end_with_them(door):
    # Given rows whose template uses one column, so that three ask the same, and two the same as another
    job = door.submit(rows(*REVIEWS), template="{{ review }}", dedupe=True)
    assert door.job(job)["saved"]["dedupe"] == {"records": 3, "cost": "0.00"}

    # When the first of each has ended, one of them with an error
    worker = Worker()
    worker.end(job, [0], model=CLAUDE)
    worker.end(job, [1], error=("invalid_request", "too long"), model=CLAUDE)
    worker.end(job, [3], model=CLAUDE)
    advance.run(number_of(job))

    # Then so have the copies, say so, and cost nothing
    shown, records = door.job(job), lines(door, job)
    assert (shown["status"], shown["counts"]["succeeded"], shown["counts"]["failed"]) == ("completed", 4, 2)
    whose = {index: record.get("copy_of") for index, record in records.items()}
    assert whose == {0: None, 1: None, 2: 0, 3: None, 4: 0, 5: 1}
    assert records[4]["response"] == records[0]["response"]
    assert (records[4]["cost"], records[4]["attempts"], records[4]["usage"]) == ("0.00", 0, None)
    assert records[5]["error"] == records[1]["error"]
    assert float(shown["saved"]["dedupe"]["cost"]) == pytest.approx(3 * float(records[0]["cost"]))
    assert differences() == []
    total = door.get("/api/v1/usage").get_json()["total"]
    assert total["saved"]["dedupe"] == shown["saved"]["dedupe"]

    # And a retry asks what failed once more, and only once
    door.post(f"{JOBS}/{job['id']}/retry")
    advance.run(number_of(job))
    assert door.job(job)["counts"]["pending"] == 2
    worker.end(job, [1], model=CLAUDE)
    advance.run(number_of(job))
    assert lines(door, job)[5]["response"] == lines(door, job)[1]["response"]
    assert door.job(job)["counts"]["succeeded"] == 6
    assert differences() == []


def test_of_no_records_none_is_a_copy(door):
    """A retry looks at a long job part by part, and in some of them nothing failed."""
    job = door.post_records([{"prompt": "the same"}] * 3, dedupe=True).get_json()
    with reading() as session:
        assert copies.among(session, number_of(job), []) == []
        assert copies.among(session, number_of(job), [0, 2]) == [2]


def test_the_turns_of_conversations_are_never_copies(door):
    talk = [{"conversation": name, "prompt": "Go on."} for name in ("a", "a", "b")]

    assert door.job(door.submit(talk, dedupe=True))["saved"]["dedupe"]["records"] == 0


def test_yesterdays_answers_are_taken_over_by_days(door):
    # Given a job that gives its answers to later ones, and one that does not
    first = door.submit(rows("good", "bad"), template="{{ review }}", reuse=30)
    other = door.submit(rows("odd"), template="{{ review }}")
    worker = Worker()
    worker.end(first, [0])
    worker.end(first, [1], error=("invalid_request", "too long"))
    worker.end(other, [0])

    # When a sheet in another order has the same rows among others
    job = door.submit(
        rows("odd", "new", "good", "bad", "good"), template="{{ review }}", reuse=30, dedupe=True
    )

    # Then what succeeded is there with its date and job, and all else is asked
    shown, records = door.job(job), lines(door, job)
    assert (shown["reused"], shown["saved"]["reuse"]["records"]) == (2, 2)
    assert sorted(records) == [2, 4]
    assert records[2]["reused_from"] == {"job": first["id"], "at": lines(door, first)[0]["ended_at"]}
    worker.end(job, [0, 1, 3], model=CLAUDE)
    advance.run(number_of(job))
    assert door.job(job)["status"] == "completed"
    assert differences() == []

    # And what was taken over keeps its own date, however often it is
    again = door.submit(rows("good", "new"), template="{{ review }}", reuse=30)
    assert lines(door, again)[0]["reused_from"]["job"] == first["id"]
    assert lines(door, again)[1]["reused_from"]["job"] == job["id"]

    # Unless the request is another one, or its answer was deleted
    assert door.job(door.submit(rows("good"), template="{{ review }}!", reuse=30))["reused"] == 0
    assert (
        door.job(door.submit(rows("good"), template="{{ review }}", reuse=30, system="Shout."))["reused"] == 0
    )
    advance.run(number_of(first))
    assert door.call("DELETE", f"{JOBS}/{first['id']}").status_code == 204
    assert door.job(door.submit(rows("good"), template="{{ review }}", reuse=30))["reused"] == 0


def test_another_tenants_answers_are_never_taken_over(door):
    job = door.submit(rows("good"), template="{{ review }}", reuse=30)
    Worker().end(job, [0])

    other = Door("beta")
    assert other.job(other.submit(rows("good"), template="{{ review }}", reuse=30))["reused"] == 0


def test_a_job_is_tried_on_rows_of_the_whole_sheet_and_goes_on_with_the_others(door):
    # Given a sheet, of which four rows are to be tried
    texts = [f"review {number}" for number in range(40)]
    job = door.submit(rows(*texts), template="{{ review }}", try_first=4)
    advance.run(number_of(job))

    # When those in the middle of each quarter have been answered
    worker = Worker()
    worker.end(job, [5, 15, 25, 35], model=CLAUDE)
    advance.run(number_of(job))

    # Then the job pauses with what all of it will cost
    shown = door.job(job)
    assert (shown["status"], shown["counts"]["succeeded"]) == ("paused", 4)
    assert "4 of its records" in shown["status_reason"]
    assert shown["tried_at"] is not None
    cost = float(shown["cost"])
    assert float(shown["forecast"]["likely"]) == pytest.approx(10 * cost)
    assert float(shown["forecast"]["low"]) < 10 * cost < float(shown["forecast"]["high"])

    # And goes on with the others when it is resumed
    door.post(f"{JOBS}/{job['id']}/resume")
    advance.run(number_of(job))
    worker.end(job, [number for number in range(40) if number % 10 != 5], model=CLAUDE)
    advance.run(number_of(job))
    assert (door.job(job)["status"], door.job(job)["counts"]["succeeded"]) == ("completed", 40)
    assert differences() == []


def test_a_job_that_leaves_its_forecast_says_so_once(door):
    job = door.submit(rows(*map(str, range(40))), template="{{ review }}", try_first=4)
    worker = Worker()
    advance.run(number_of(job))
    worker.end(job, [5, 15, 25, 35], model=CLAUDE)
    advance.run(number_of(job))
    door.post(f"{JOBS}/{job['id']}/resume")
    assert door.job(job)["warnings"] == []

    worker.end(job, [0, 1, 2], model=CLAUDE, usage=lambda claim: Usage(10, 5_000))
    advance.run(number_of(job))

    assert "its first 4 records let expect" in door.job(job)["warnings"][0]
