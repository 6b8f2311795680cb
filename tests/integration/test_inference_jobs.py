"""Jobs for an inference server with real workers: batching over all of them, live; and time limits."""

import json
from collections.abc import Iterator
from functools import partial

import pytest

from app.core.money import reconciliation
from app.core.pipeline import batch_settings
from app.core.reading.records import snapshot
from app.services.options import Options
from models.session import in_transaction
from tests.conftest import penstock_of_its_own
from tests.support.inference_server import InferenceServer
from tests.support.servers import wait_until
from tests.support.stack import Running, Stack

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def inference_server() -> Iterator[InferenceServer]:
    with InferenceServer() as server:
        yield server


@pytest.fixture(scope="module")
def workers(
    request: pytest.FixtureRequest,
    inference_server: InferenceServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """Two slice workers of one inference server; a single batch of the priority queue runs at a time."""
    folder = tmp_path_factory.mktemp("inference")
    more = {"INFERENCE_URL": inference_server.url, "MAX_CONCURRENT_BATCHES": "1", "MAX_WAIT_TIME_MS": "300"}
    with penstock_of_its_own("postgresql", request, folder, **more) as values:
        made = Stack(values, folder).start(slice_workers=2)
        yield made
        made.stop()


@pytest.fixture
def stack(workers: Stack, inference_server: InferenceServer) -> Stack:
    inference_server.reset()
    return workers


def ask(stack: Stack, count: int, **options) -> Running:
    return stack.submit(
        [{"input": [number, number + 1]} for number in range(count)],
        model="inference:double",
        options=Options(**options),
    )


def test_items_leave_together_and_each_stays_a_record_with_its_attempt(stack, inference_server):
    # When 150 rows are submitted
    job = ask(stack, 150).wait_for("completed")

    # Then each has its own row of an answer, and was asked once
    answers = {idx: json.loads(output.body)["output"] for idx, output in job.outputs().items()}
    assert answers == {number: [2 * number, 2 * number + 2] for number in range(150)}
    attempts = job.attempts()
    assert [attempt.idx for attempt in attempts] == list(range(150))

    # And few calls were made, as the ledger knows, and none of them costs anything
    sizes = inference_server.book.sizes
    assert sum(sizes) == 150
    assert max(sizes) > 1
    assert len({attempt.request_id for attempt in attempts}) == len(sizes) < 75
    assert {(attempt.cost, attempt.price) for attempt in attempts} == {(0, "inference@2020-01-01")}
    with snapshot() as session:
        assert list(reconciliation.Check(session).differences()) == []


def test_what_is_configured_holds_for_all_workers_at_once(stack, inference_server):
    # When calls are bounded to three items while the workers run, and filled as far as that
    bounded = {"max_batch_size": 3, "enable_adaptive_batching": False}
    in_transaction(partial(batch_settings.change, values=bounded))
    try:
        # Then within a second no call is larger
        def obeyed() -> bool:
            inference_server.reset()
            ask(stack, 30).wait_for("completed")
            return max(inference_server.book.sizes) <= 3

        wait_until(obeyed, what="no call has more than three items")
        assert 3 in inference_server.book.sizes
    finally:
        in_transaction(partial(batch_settings.change, values=dict.fromkeys(bounded)))


def test_a_failed_call_is_tried_again_for_each_of_its_items(stack, inference_server):
    # Given one row that the server refuses with all that comes along
    inference_server.book.poison = 7
    job = ask(stack, 20).wait_for("completed")

    # Then the rows with it fail in the end, and the others are answered
    failed = {idx: output.error_type for idx, output in job.outputs().items() if output.error_type}
    assert failed == {6: "invalid_request", 7: "invalid_request"}
    assert job.counts().succeeded == 18


def test_a_job_past_its_time_limit_has_expired_and_its_calls_are_closed(stack, inference_server):
    # Given a model that takes a minute
    inference_server.book.seconds = 60

    # When a job may take half a second from its first call on
    job = ask(stack, 5, time_limit_ms=500).wait_for("expired", seconds=20)

    # Then its records have expired with it, and the figure is told
    assert job.statuses() == {"expired": 5}
    assert job.row().status_reason == "Its time limit was 500 ms from its first call."
    wait_until(lambda: inference_server.book.disconnected, what="the server sees its caller go")


def test_waiting_in_the_queue_does_not_eat_a_time_limit(stack, inference_server):
    # Given a batch that takes longer than the next one may take
    inference_server.book.seconds = 1.5
    first = ask(stack, 1, urgency="normal")
    wait_until(lambda: inference_server.book.calls, what="the first batch is being asked")

    # When the next one waits for it
    second = ask(stack, 1, urgency="critical", time_limit_ms=1_000)
    assert (first.status, second.status) == ("running", "pending")
    wait_until(lambda: first.status == "completed", what="the first batch has ended")
    inference_server.book.seconds = 0

    # Then it has all of its time
    second.wait_for("completed")
    assert second.row().started_at >= first.row().ended_at
