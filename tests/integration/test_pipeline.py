"""A job's way from its rows to its end, with real workers."""

import json

import pytest
from sqlalchemy import select

from app.core.pipeline import lifecycle
from app.services.options import Options
from models import Record, RecordStatus, Window
from models.session import in_transaction, reading
from tasks.celery import app
from tasks.wake import wake
from tests.support.servers import wait_until
from tests.support.stack import Running
from tests.support.task_events import Watched


def test_a_small_job_is_one_chord_of_one_task_a_record_and_a_callback_that_finalises(running):
    # When a job of 60 runs
    watched = Watched(lambda: running.prompts(60, model="claude-haiku-4-5"))

    # Then Celery saw 60 header tasks and one callback, which set status, tokens and cost
    [end] = watched.callbacks
    assert (watched.received["penstock.slice"], watched.received["penstock.close_window"]) == (60, 1)
    assert end.status == "completed"
    assert end.tokens > 0
    assert end.cost > 0
    row, counts = watched.job.row(), watched.job.counts()
    assert row.ended_at is not None
    assert counts.succeeded == 60
    assert counts.unpriced == 0

    # And who sent it listens for none of their results
    assert app.backend.result_consumer._pubsub is None


def test_workers_tell_their_statistics(running):
    with app.connection_for_write() as connection:  # one of the pool may be of a server that is gone
        nodes = app.control.inspect(timeout=5, connection=connection).stats()

    assert nodes
    assert all(stats["pool"]["implementation"].endswith("thread:TaskPool") for stats in nodes.values())


@pytest.mark.parametrize("count", [1, 1200])
def test_jobs_of_any_size_end_with_every_record_answered_once(running, count):
    job = running.prompts(count).wait_for("completed")

    assert job.counts().succeeded == count
    assert job.statuses() == {"succeeded": count}
    assert sorted(output.seq for output in job.outputs().values()) == list(range(1, count + 1))
    assert [attempt.outcome for attempt in job.attempts()] == ["answered"] * count


def test_records_that_fail_for_good_fail_alone(running):
    # Given a provider that rejects a fifth of the records
    job = running.prompts(300, params={"simulate": {"error": "invalid_request", "share": 0.2}})

    # When the job has ended
    job.wait_for("completed")

    # Then the others have their answers, and each failure says why
    counts = job.counts()
    assert counts.succeeded + counts.failed == 300
    assert 20 <= counts.failed <= 100
    failed = [output for output in job.outputs().values() if output.error_type]
    assert len(failed) == counts.failed
    assert {output.error_type for output in failed} == {"invalid_request"}


def test_a_failure_of_the_records_own_is_tried_again_and_stands_in_the_ledger(running):
    job = running.prompts(20, params={"simulate": {"error": "server_error", "times": 1}}).wait_for(
        "completed"
    )

    assert job.counts().succeeded == 20
    errors = [(attempt.attempt, attempt.error_type) for attempt in job.attempts()]
    assert sorted(errors, key=str) == sorted([(1, "server_error"), (2, None)] * 20, key=str)


def test_a_record_whose_tries_are_used_up_fails(running):
    _while_the_provider_is_well(running)
    job = running.prompts(
        2, params={"simulate": {"error": "server_error"}}, options=Options(retries=2)
    ).wait_for("completed")

    assert job.counts().failed == 2
    assert len(job.attempts()) == 6


def test_a_job_whose_first_records_all_fail_alike_pauses_with_the_reason(running):
    job = running.prompts(2000, params={"simulate": {"error": "invalid_request", "latency_ms": 50}})
    job.wait_for("paused")

    assert "invalid_request" in (job.row().status_reason or "")
    assert job.counts().failed < 2000


def test_a_conversation_is_asked_in_order_each_turn_with_the_ones_before_it(running, upstream):
    # Given ten conversations of four turns, their rows mixed, and two worker processes
    upstream.configure(keep_requests=True)
    talks = [f"talk {number % 10}" for number in range(40)]
    bodies = [{"prompt": f"{talk}, turn {number // 10}"} for number, talk in enumerate(talks)]

    # When the job has ended
    job = running.submit(bodies, model="claude-haiku-4-5", conversations=talks).wait_for("completed")

    # Then the provider saw each turn once, after the turn before it, and with the whole history
    assert job.counts().succeeded == 40
    seen = [call["text"] for call in upstream.books()]
    for number in range(10):
        turns = [text for text in seen if text.startswith(f"talk {number},")]
        assert turns == [f"talk {number}, turn {turn}" for turn in range(4)]
    last = [call for call in upstream.books() if call["text"].endswith("turn 3")]
    assert [len(call["request"]["messages"]) for call in last] == [7] * 10


def test_two_worker_processes_share_a_job(running):
    # Given a job larger than what one process takes at once
    job = running.prompts(900, params={"simulate": {"latency_ms": 500}})

    # Then both processes hold records of it at the same time, and each record is answered once
    wait_until(lambda: len(_holders(job)) == 2, what="two processes hold records of the job")
    job.wait_for("completed")
    assert job.counts().succeeded == 900
    assert len(job.attempts()) == 900
    with reading() as session:
        unclosed = select(Window.id).where(Window.job_id == job.id, Window.closed_at.is_(None))
        assert session.scalar(unclosed) is None


def test_a_paused_job_starts_nothing_and_goes_on_when_it_is_resumed(running):
    # Given a job under way
    job = running.prompts(1500, params={"simulate": {"latency_ms": 700, "latency_sigma": 0.0}})
    job.wait_until_ended(50)

    # When it is paused
    in_transaction(
        lambda session: lifecycle.pause(session, lifecycle.find(session, running.tenant_id, job.uid))
    )
    job.wait_for("paused")
    _wait_until_nothing_is_in_flight(job)
    ended = job.ended()

    # Then nothing more is asked until it is resumed
    assert ended < 1500
    assert job.statuses()["running"] == 0
    in_transaction(
        lambda session: lifecycle.resume(session, lifecycle.find(session, running.tenant_id, job.uid))
    )
    wake(job.id)
    job.wait_for("completed")
    assert job.counts().succeeded == 1500
    assert len(job.attempts()) == 1500


def test_a_cancelled_job_ends_at_once_and_keeps_what_was_answered(running):
    job = running.prompts(3000, params={"simulate": {"latency_ms": 2000, "latency_sigma": 0.8}})
    job.wait_until_ended(20)

    in_transaction(
        lambda session: lifecycle.cancel(session, lifecycle.find(session, running.tenant_id, job.uid))
    )
    wake(job.id)
    job.wait_for("cancelled", seconds=10)

    counts = job.counts()
    assert counts.succeeded >= 20
    assert counts.succeeded + counts.failed + counts.cancelled == 3000
    closed = [attempt for attempt in job.attempts() if attempt.outcome == "unconfirmed"]
    assert {attempt.error_type for attempt in closed} == {"cancelled"}


def test_a_job_whose_time_is_over_expires(running):
    job = running.prompts(
        500, params={"simulate": {"latency_ms": 4000, "latency_sigma": 0.0}}, options=Options(expires_in=2)
    )
    job.wait_for("expired", seconds=20)

    assert job.counts().expired > 0
    assert "It expired at" in (job.row().status_reason or "")


def test_retry_asks_again_only_what_failed(running):
    # Given a job of which some records failed
    _while_the_provider_is_well(running)
    wishes = {"simulate": {"error": "server_error", "times": 1, "share": 0.2}}
    job = running.prompts(40, params=wishes, options=Options(retries=0)).wait_for("completed")
    failed = job.counts().failed
    assert 0 < failed < 40

    # When it is retried
    in_transaction(
        lambda session: lifecycle.retry(session, lifecycle.find(session, running.tenant_id, job.uid))
    )
    wake(job.id)
    job.wait_for("completed")

    # Then those are asked once more, and the others are not
    assert job.counts().succeeded == 40
    assert len(job.attempts()) == 40 + failed


def test_what_a_model_may_answer_is_stored_as_it_came(running, upstream):
    # Given a provider whose answer holds \\u0000 and half a surrogate pair
    upstream.configure(faults=[{"kind": "answer", "text": 'a\\u0000b\\ud83d"', "share": 1}])

    # When it has answered
    job = running.submit([{"prompt": "anything"}], model="claude-haiku-4-5").wait_for("completed")

    # Then its bytes are there
    assert job.counts().succeeded == 1
    body = job.outputs()[0].body
    assert body is not None
    assert json.loads(body)["content"][0]["text"].encode("utf-16", "surrogatepass")


def _wait_until_nothing_is_in_flight(job: Running) -> None:
    wait_until(lambda: job.statuses()["running"] == 0, what="calls in flight end")


def _holders(job: Running) -> set[int]:
    with reading() as session:
        held = select(Record.lease_id).where(Record.job_id == job.id, Record.status == RecordStatus.RUNNING)
        return set(session.scalars(held.distinct()))


def _while_the_provider_is_well(running):
    """So many answers that a few failures are no outage, which no record would pay for."""
    running.prompts(20).wait_for("completed")
