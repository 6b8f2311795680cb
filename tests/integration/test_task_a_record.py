"""RECORDS_PER_TASK=1: a job is one chord with a task for each record, and takes no more than its share."""

from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy.orm import Session

from app.core.limits.limiter import limiter
from app.core.pipeline import lifecycle
from models.session import in_transaction
from tasks.wake import wake
from tests.conftest import ONE_IN_SHORT, penstock_of_its_own
from tests.faults.support.breakable_stack import held_by, lease_of
from tests.support.servers import wait_until
from tests.support.stack import Running, Stack
from tests.support.task_events import Watched


@pytest.fixture(scope="module", params=ONE_IN_SHORT)
def house(request, upstream_process, tmp_path_factory) -> Iterator[Stack]:
    """One slice worker of 64 threads; a job of Claude's has five calls in flight."""
    folder = tmp_path_factory.mktemp("a-record-a-task")
    more = {
        "RECORDS_PER_TASK": "1",
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": upstream_process.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "60000",
    }
    with penstock_of_its_own(request.param, request, folder, **more) as values:
        made = Stack(values, folder).start(slice_workers=1)
        yield made
        made.stop()


def test_five_hundred_records_are_one_chord_whose_callback_finalises_the_job(house, upstream):
    # When a job of 500 runs, of which five may be asked at once
    watched = Watched(lambda: house.prompts(500, model="claude-haiku-4-5"))

    # Then there were 500 header tasks and one callback, after which status, tokens and cost are there
    [end] = watched.callbacks
    assert (watched.received["penstock.slice"], watched.received["penstock.close_window"]) == (500, 1)
    assert end.status == "completed"
    assert end.tokens > 0
    assert end.cost > 0
    assert watched.job.statuses() == {"succeeded": 500}
    assert len(upstream.books()) == 500
    assert not limiter().threads.held().windows


def test_so_are_records_that_may_all_leave_at_once_with_fewer_threads_than_records(house):
    watched = Watched(lambda: house.prompts(200))

    assert (watched.received["penstock.slice"], watched.received["penstock.close_window"]) == (200, 1)
    assert [end.status for end in watched.callbacks] == ["completed"]
    assert watched.job.statuses() == {"succeeded": 200}


@pytest.mark.long
def test_a_record_that_is_tried_again_has_one_task_all_the_same(house):
    watched = Watched(
        lambda: house.prompts(120, params={"simulate": {"error": "server_error", "times": 1, "share": 0.1}})
    )

    assert (watched.received["penstock.slice"], watched.received["penstock.close_window"]) == (120, 1)
    assert watched.job.statuses() == {"succeeded": 120}


def test_another_tenants_record_is_asked_within_moments(house):
    # Given a tenant with more slow records than there are threads
    busy, other = house.of_tenant("busy"), house.of_tenant("other")
    slow = {"simulate": {"latency_ms": 30_000, "latency_sigma": 0}}
    jobs = [busy.prompts(500, params=slow) for _ in range(3)]
    wait_until(lambda: limiter().threads.held().tenants[busy.tenant_id] > 40, what="most threads are taken")

    # Then another's does not wait for them
    other.prompts(1).wait_for("completed", seconds=20)  # the slow ones take thirty
    for job in jobs:
        in_transaction(partial(_cancel, job_id=job.id))
        wake(job.id)
    for job in jobs:
        job.wait_for("cancelled")


@pytest.mark.long
def test_a_stopped_workers_tasks_are_followed_by_others_at_another_worker(house, upstream):
    # Given a job whose tasks are at two workers
    upstream.configure(latency_ms=300)
    leaving = house.start_slices()
    lease = lease_of(leaving.container._container.process.pid)

    def submit() -> Running:
        job = house.prompts(300, model="claude-haiku-4-5")
        wait_until(lambda: held_by(lease, job), what="it has records in hand")

        # When one is stopped
        leaving.container._container.terminate()
        return job

    watched = Watched(submit)

    # Then it is still one chord, and each record is asked once
    assert watched.received["penstock.close_window"] == 1
    assert [end.status for end in watched.callbacks] == ["completed"]
    assert len(upstream.books()) == 300
    leaving.teardown()


@pytest.mark.long
def test_a_killed_workers_tasks_are_offered_again_at_once(house, upstream):
    # Given a job whose tasks are at two workers
    upstream.configure(latency_ms=300)
    doomed = house.start_slices()
    job = house.prompts(500, model="claude-haiku-4-5")
    process = doomed.container._container.process
    lease = lease_of(process.pid)
    wait_until(lambda: held_by(lease, job), what="it has records in hand")

    # When one is killed
    process.kill()
    lost = held_by(lease, job)

    # Then the job has five calls in flight again, and ends
    wait_until(lambda: held_by(lease, job) == [], what="its records are given back", seconds=30)
    wait_until(lambda: job.statuses()["running"] == 5, what="five are in flight", seconds=15)
    job.wait_for("completed", seconds=90)
    assert job.statuses() == {"succeeded": 500}
    unconfirmed = [attempt.idx for attempt in job.attempts() if attempt.outcome == "unconfirmed"]
    assert unconfirmed == lost


def _cancel(session: Session, job_id: int) -> None:
    job = lifecycle.lock(session, job_id)
    assert job is not None
    lifecycle.cancel(session, job)
