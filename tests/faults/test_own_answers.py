"""Each answer stands beside its own row, whatever fails, dies and is asked again."""

import json

import pytest

from app.core.money.reconciliation import Check
from app.core.pipeline import lifecycle
from app.core.reading.records import snapshot
from models.session import in_transaction
from tasks.wake import wake
from tests.support.odd_answers import body, message
from tests.support.servers import wait_until

pytestmark = [pytest.mark.one_database, pytest.mark.timeout(180)]

KINDS = ("ok", "fails-once", "always-fails", "ok")
FAILS_ONCE = {"kind": "status", "status": 500, "matching": "fails-once", "first_of_each": 1}
FAILS_ALWAYS = {"kind": "status", "status": 400, "matching": "always-fails"}


def asks(number: int) -> str:
    return f"{KINDS[number % 4]} row {number:03}"


def check(job, answered) -> None:
    """Each record that succeeded has the answer to its own row, and those of other kinds have none."""
    outputs = job.outputs()
    assert len(outputs) == job.row().total
    for index, output in outputs.items():
        if KINDS[index % 4] in answered:
            assert json.loads(output.body)["content"][0]["text"].endswith(f"to: {asks(index)}")
        else:
            assert (output.body, output.error_type) == (None, "invalid_request_error")


def retry(stack, job) -> None:
    in_transaction(
        lambda session: lifecycle.retry(session, lifecycle.find(session, stack.tenant_id, job.uid))
    )
    wake(job.id)
    job.wait_for("completed")


@pytest.mark.parametrize("kills", [False, pytest.param(True, marks=pytest.mark.long)])
def test_answers_stay_with_their_rows_through_failures_deaths_and_retries(stack, upstream, kills):
    # Given rows of which some fail once and some always, and two workers
    upstream.configure(latency_ms=20, faults=[FAILS_ONCE, FAILS_ALWAYS])
    stack.environment |= {
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": upstream.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "60000",
        "BATCH_MAX_CONCURRENT_LLM_CALLS": "20",
    }
    stack.start(slice_workers=2)

    # When they are asked, and one of the workers is killed
    job = stack.submit([{"prompt": asks(number)} for number in range(200)], model="claude-haiku-4-5")
    if kills:
        job.wait_until_ended(40)
        stack.nodes[0].kill()
    job.wait_for("completed", seconds=120)

    # Then each answer is the one to its row
    check(job, answered={"ok", "fails-once"})

    # When it is retried in vain, then what was answered is as it was
    before = {index: output.seq for index, output in job.outputs().items() if output.body}
    retry(stack, job)
    check(job, answered={"ok", "fails-once"})
    assert {index: output.seq for index, output in job.outputs().items() if output.body} == before

    # When it is retried and nothing fails any more, then every row has its answer
    upstream.configure(faults=[])
    retry(stack, job)
    check(job, answered=set(KINDS))
    with snapshot() as session:
        assert list(Check(session).differences()) == []


@pytest.mark.long
def test_a_paused_answer_whose_worker_is_killed_is_asked_from_the_start(stack, upstream):
    # Given an answer that is paused, and whose continuation is in flight
    paused = message("Let me look.", "pause_turn")
    upstream.configure(
        keep_requests=True, faults=[body(paused, first=1, matching="search"), {"kind": "hang", "first": 1}]
    )
    stack.environment |= {"ANTHROPIC_API_KEY": "test-key", "ANTHROPIC_BASE_URL": upstream.url}
    stack.start(slice_workers=2)
    job = stack.submit([{"prompt": "search"}], model="claude-haiku-4-5")
    wait_until(lambda: len(upstream.books()) == 2, what="the continuation is asked")

    # When the workers are killed, and others come
    for node in stack.nodes[:2]:
        node.kill()
    stack.start_slices()
    job.wait_for("completed", seconds=90)

    # Then the record was asked from the start, and both calls before stand in the ledger
    last = upstream.books()[-1]["request"]["messages"]
    assert [turn["role"] for turn in last] == ["user"]
    calls = sorted(job.attempts(), key=lambda attempt: attempt.attempt)
    assert [call.outcome for call in calls] == ["answered", "unconfirmed", "answered"]
    assert job.outputs()[0].cost == calls[0].cost + calls[2].cost
    assert job.counts().cost_unconfirmed == calls[1].cost > 0
    with snapshot() as session:
        assert list(Check(session).differences()) == []
