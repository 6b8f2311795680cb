"""One slice worker of 64 threads: whatever a tenant has queued, another's record is asked within moments."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import func, select

from app.core.limits import allowances
from app.core.limits.limiter import limiter
from app.core.limits.threads import Wish
from app.core.pipeline import lifecycle
from app.core.reading import job_json, jobs
from app.errors import Conflict
from app.services.options import Options
from models import Job, JobCounts, Record, RecordStatus, Window
from models.session import in_transaction, reading
from tests.conftest import ONE_IN_SHORT, penstock_of_its_own
from tests.support.servers import wait_until
from tests.support.stack import Running, Stack

SEATS = 5  # calls in flight of each job
SOON = 2.0  # seconds


@pytest.fixture(scope="module", params=ONE_IN_SHORT)
def house(request, tmp_path_factory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("fair")
    with penstock_of_its_own(
        request.param, request, folder, BATCH_MAX_CONCURRENT_LLM_CALLS=str(SEATS)
    ) as values:
        made = Stack(values, folder).start(slice_workers=1)
        yield made
        made.stop()


@pytest.fixture
def alpha(house) -> Iterator[Stack]:
    tenant = house.of_tenant("alpha")
    yield tenant
    for job_id in in_transaction(live_jobs):
        cancel(job_id)
    wait_until(lambda: not calls_in_flight(), what="the calls are closed", seconds=30)
    wait_until(lambda: not limiter().threads.held().windows, what="no slice is counted", seconds=30)


@pytest.fixture
def beta(house) -> Stack:
    return house.of_tenant("beta")


@pytest.mark.parametrize(
    ("jobs", "records", "seconds"),
    [
        (1, 100, 5),
        (15, 100, 20),
        (20, 100, 600),
        (3, 4_000, 30),
        (70, 1, 60),
        pytest.param(1_000, 1, 20, marks=pytest.mark.long),
        pytest.param(1, 1_000_000, 20, marks=pytest.mark.long),
    ],
)
def test_another_tenants_record_is_asked_within_moments(alpha, beta, jobs, records, seconds):
    # Given a tenant whose jobs could hold every thread for as long as their calls take
    for _ in range(jobs):
        slow(alpha, records, seconds)
    most = min(jobs * min(records, SEATS), 50)
    wait_until(lambda: calls_in_flight() >= most, what=f"{most} calls are in flight", seconds=30)

    # When another tenant submits one record, it is asked at once
    assert waited(beta.prompts(1, options=Options(priority=10))) <= SOON


def test_jobs_have_all_the_calls_in_flight_that_their_seats_allow(alpha):
    # When fifteen jobs of a hundred records each may have five calls in flight
    for _ in range(15):
        slow(alpha, 100, 20)

    # Then 75 are
    wait_until(lambda: calls_in_flight() == 15 * SEATS, what="all seats are taken", seconds=30)
    assert sum(limiter().threads.held().jobs.values()) == 15


def test_jobs_in_the_line_are_asked_when_threads_are_free_and_not_overtaken_by_newer_ones(alpha):
    # Given a tenant whose slow jobs hold all the threads that it may have, and others that wait
    holders = [slow(alpha, 1, 300) for _ in range(60)]
    waiting = [alpha.prompts(1) for _ in range(20)]
    wait_until(lambda: all(waits(job) for job in waiting), what="they wait")
    newest = alpha.prompts(1)

    # When one thread becomes free
    behind = [job for job in holders if waits(job)]
    for job in (*behind, next(job for job in holders if job not in behind)):
        cancel(job.id)

    # Then it asks all of them, one after another, the newest one last, and the line is empty
    for job in (*waiting, newest):
        job.wait_for("completed")
    assert began(newest) >= max(began(job) for job in waiting)
    assert in_line() == 0


def test_a_job_that_is_paused_or_cancelled_leaves_the_line(alpha):
    for _ in range(60):
        slow(alpha, 1, 300)
    paused, cancelled = alpha.prompts(1), alpha.prompts(1)
    wait_until(lambda: waits(paused) and waits(cancelled), what="both wait")
    assert reason(alpha, paused) == "workers"

    in_transaction(lambda session: lifecycle.pause(session, lifecycle.lock(session, paused.id)))
    cancel(cancelled.id)

    assert not waits(paused)
    assert not waits(cancelled)


def test_what_a_killed_worker_leaves_counted_is_found(house, alpha):
    # Given slices that are counted on a window which no worker serves
    job = house.prompts(1).wait_for("completed")
    with reading() as session:
        window = session.scalars(select(Window.id).where(Window.job_id == job.id)).one()
    wish = Wish(window, 9, alpha.tenant_id, job.id, capacity=64, whole=0, fewer=7)
    assert limiter().threads.take(wish, in_line=True).slices == 7

    # Then a sweep stops counting them
    wait_until(lambda: not limiter().threads.held().jobs[job.id], what="none is counted")


def test_slices_without_a_permit_leave_their_threads_to_others(house, alpha):
    # Given a limit of one call a minute, and slices that wait for it with all the threads of their tenant
    limit("simulated", 1)
    wait_until(lambda: limited(alpha.prompts(2)), what="the worker knows the limit")
    for _ in range(60):
        alpha.prompts(1)
    newest = alpha.prompts(1)
    wait_until(lambda: waits(newest), what="the newest job has no thread")

    # Then they give them back, and the next in the line has its turn
    wait_until(lambda: offered(newest), what="the newest job has had a thread")


def limit(group: str, requests: int | None) -> None:
    in_transaction(lambda session: allowances.put(session, group, {"requests": requests}))


def limited(job: Running) -> bool:
    """Whether the job still waits for the limit when most would have ended."""
    with suppress(AssertionError):
        job.wait_for("completed", seconds=2)
    return limiter().reasons.of(job.id) == "requests"


def offered(job: Running) -> bool:
    with reading() as session:
        found = select(Window.id).where(Window.job_id == job.id, Window.published_at.is_not(None))
        return session.scalar(found) is not None


def slow(stack: Stack, records: int, seconds: float) -> Running:
    """A job whose calls take so long."""
    return stack.prompts(
        records, params={"simulate": {"latency_ms": round(seconds * 1000), "latency_sigma": 0}}
    )


def reason(stack: Stack, job: Running) -> str | None:
    """What the job's owner is told that limits it."""
    with reading() as session:
        return job_json.limits_of([jobs.find(session, stack.tenant_id, str(job.uid))])[job.id].word


def cancel(job_id: int) -> None:
    with suppress(Conflict):  # it has just ended
        in_transaction(lambda session: lifecycle.cancel(session, lifecycle.lock(session, job_id)))


def waited(job: Running) -> float:
    """Seconds from a job's submission to its first call, by the database's clock."""
    wait_until(lambda: began(job) is not None, what="its call has begun", seconds=10)
    return (began(job) - job.row().created_at).total_seconds()


def began(job: Running):
    with reading() as session:
        return session.scalar(select(Record.claimed_at).where(Record.job_id == job.id))


def calls_in_flight() -> int:
    with reading() as session:
        running = select(func.count()).where(Record.status == RecordStatus.RUNNING)
        return session.scalar(running) or 0


def in_line() -> int:
    with reading() as session:
        return session.scalar(select(func.count()).where(JobCounts.queued_at.is_not(None))) or 0


def waits(job: Running) -> bool:
    return job.counts().queued_at is not None


def live_jobs(session) -> list[int]:
    return list(session.scalars(select(Job.id).where(Job.ended_at.is_(None))))
