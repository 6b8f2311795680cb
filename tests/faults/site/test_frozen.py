"""Processes, threads and machines that stand still, then wake: who lives is not taken for dead, and who was
taken for dead harms nothing."""

import time

import pytest

from models import Lease
from models.session import reading
from tests.faults.support.breakable_stack import (
    first_answer,
    first_ends,
    held_by,
    lease_of,
    pass_by,
    process,
    stopped,
)
from tests.faults.support.frozen_threads import frozen, loop_of
from tests.faults.support.rounds import LONG
from tests.support.commands import family
from tests.support.servers import wait_until
from tests.support.stack import Running

pytestmark = pytest.mark.timeout(3600)

ASLEEP = 60 if LONG else 15  # seconds; four looks at a lease take twelve


def busiest(site, job: Running):
    """The worker that holds most of the job's records, and its lease."""
    workers = {lease_of(process(node).pid): process(node) for node in site.slices}
    lease = max(workers, key=lambda lease: len(held_by(lease, job)))
    wait_until(lambda: held_by(lease, job), what="a worker holds records")
    return workers[lease], lease


def confirmed(job: Running) -> int:
    """Calls whose answers came late."""
    return sum(1 for attempt in job.attempts() if attempt.confirmed_at is not None)


def is_dead(lease: int) -> bool:
    with reading() as session:
        return session.get_one(Lease, lease).dead_at is not None


def test_a_worker_that_wakes_after_its_lease_died_writes_over_nobodys_answer(
    fresh, records, moments, figures
):
    # Given a worker that stands still with calls in flight, whose answers come meanwhile
    job = fresh.begin(records, next(moments))
    worker, lease = busiest(fresh, job)
    with stopped(worker.pid):
        slept = time.monotonic()
        held = held_by(lease, job)
        # When it is taken for dead, and the other one asks its records again
        seconds = first_answer(job, held, slept)
        job.wait_for("completed", seconds=60)

    # Then it wakes, its answers end nothing a second time, and they are paid for: late, and answered
    wait_until(lambda: confirmed(job) >= 1, seconds=30, what="a late answer is in the ledger")
    lease_of(worker.pid)  # it has another
    books = fresh.finish(job)
    figures.note("a worker frozen past its lease, then resumed", books, seconds)
    assert len(held) >= books.asked_twice > 0


@pytest.mark.long
def test_a_dead_event_loop_is_found_though_its_process_lives(fresh, records, moments, figures):
    # Given
    job = fresh.begin(records, next(moments))
    worker, lease = busiest(fresh, job)

    # When the thread of its calls stands still, and its slices' threads live
    with frozen(worker.pid, loop_of(worker.pid)):
        froze = time.monotonic()
        held = held_by(lease, job)
        seconds = first_answer(job, held, froze)
        wait_until(lambda: is_dead(lease), what="the lease is dead")
        job.wait_for("completed", seconds=60)

    # Then
    books = fresh.finish(job)
    figures.note("an event loop dead in a live process", books, seconds)
    worker.kill()  # the next test gets another
    worker.wait()


@pytest.mark.long
def test_a_machine_that_was_asleep_gives_nothing_back(
    fresh, database_pids, redis_server, records, moments, figures
):
    # Given a job whose every process, database and broker fall asleep at once
    job = fresh.begin(records, next(moments))
    leases = [lease_of(process(node).pid) for node in fresh.slices]
    workers = [process(node).pid for node in fresh.nodes if process(node).poll() is None]
    beats = [pid for worker in workers for pid in family(worker)]
    with stopped(*workers, *beats, *database_pids(), redis_server.process.pid):
        pass_by(ASLEEP)
    awake = time.monotonic()

    # When they wake, then all go on with what they had
    seconds = first_ends(job, since=awake)
    books = fresh.finish(job)
    figures.note(f"the whole machine suspended for {ASLEEP} s", books, seconds)
    assert (books.asked_twice, books.unconfirmed) == (0, 0)
    assert not any(map(is_dead, leases))
