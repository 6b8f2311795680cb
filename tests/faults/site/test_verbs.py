"""What is done to a job under faults: cancelled, paused and resumed, expired, retried, deleted."""

import time

import pytest

from app.core.pipeline import lifecycle
from app.services.options import Options
from models.session import in_transaction
from tests.faults.support.breakable_stack import Site, held_by, lease_of, pass_by, process, stopped
from tests.support.servers import wait_until
from tests.support.stack import Running

pytestmark = pytest.mark.timeout(3600)


def do(verb, site: Site, job: Running) -> None:
    in_transaction(lambda session: verb(session, lifecycle.find(session, site.tenant_id, job.uid)))


def let_calls_take_long(site: Site) -> None:
    """Dozens of calls are out, and none of them will end by itself."""
    asked = site.upstream.configure(latency_ms=20_000)["requests"]
    wait_until(lambda: site.arrived() >= asked + 60, what="calls are out that take long")


def kill_one(site: Site, job: Running) -> list[int]:
    """Kill the worker that holds most of the job's records; returns those."""
    workers = {lease_of(process(node).pid): process(node) for node in site.slices}
    wait_until(lambda: any(held_by(lease, job) for lease in workers), what="a worker holds records")
    lease = max(workers, key=lambda lease: len(held_by(lease, job)))
    workers[lease].kill()
    workers[lease].wait()
    return held_by(lease, job)


def test_a_job_is_cancelled_though_redis_stands_still(fresh, redis_server, records, moments, figures):
    # Given a job of which enough is left, however late the moment is seen
    job = fresh.begin(records + 1_000, next(moments))
    let_calls_take_long(fresh)

    # When it is cancelled while no message reaches anybody
    with stopped(redis_server.process.pid):
        do(lifecycle.cancel, fresh, job)
        # Then its calls are closed within a second or so, and stand as unconfirmed
        wait_until(
            lambda: fresh.upstream.summary()["in_flight"] == 0, seconds=10, what="its calls are closed"
        )
        wait_until(lambda: not job.statuses()["running"], seconds=10, what="its records have ended")
    job.wait_for("cancelled", seconds=20)
    books = fresh.reconcile(job)
    figures.note("cancelled while Redis was frozen", books)
    assert books.unconfirmed >= 50


@pytest.mark.long
def test_a_cancelled_job_whose_worker_is_killed_ends_with_its_lease(fresh, records, moments, figures):
    job = fresh.begin(records, next(moments))
    let_calls_take_long(fresh)
    held = kill_one(fresh, job)
    killed = time.monotonic()
    do(lifecycle.cancel, fresh, job)
    job.wait_for("cancelled", seconds=40)
    books = fresh.reconcile(job)
    figures.note("cancelled while a worker was killed", books, time.monotonic() - killed)
    assert books.unconfirmed >= len(held)


@pytest.mark.long
def test_a_paused_job_whose_worker_is_killed_asks_nothing_until_it_is_resumed(
    fresh, records, moments, figures
):
    # Given a paused job, a worker of which is killed
    job = fresh.begin(records, next(moments))
    held = kill_one(fresh, job)
    do(lifecycle.pause, fresh, job)
    wait_until(lambda: not job.statuses()["running"], seconds=40, what="nothing of it is in flight")
    asked = fresh.arrived()
    pass_by(2)
    assert fresh.arrived() == asked

    # When it is resumed
    do(lifecycle.resume, fresh, job)

    # Then it ends, with what the dead worker held
    books = fresh.finish(job)
    figures.note("paused, a worker killed, resumed", books)
    assert books.unconfirmed == len(held)


@pytest.mark.long
def test_a_job_expires_though_a_worker_is_killed(fresh, records, moments, figures):
    job = fresh.begin(records, next(moments), options=Options(expires_in=6))
    let_calls_take_long(fresh)
    kill_one(fresh, job)
    job.wait_for("expired", seconds=60)
    figures.note("expired while a worker was killed", fresh.reconcile(job))
    assert job.counts().expired > 0


@pytest.mark.long
def test_a_retry_goes_on_though_a_worker_is_killed_and_the_job_is_deleted_in_the_end(
    fresh, records, moments, figures
):
    # Given a job of which a quarter failed
    fresh.upstream.configure(latency_ms=100, faults=[{"kind": "status", "status": 400, "share": 0.25}])
    job = fresh.ask(records)
    job.wait_for("completed", seconds=120)
    failed = job.counts().failed
    assert failed > records // 8

    # When it is retried, and a worker is killed in that
    fresh.upstream.configure(latency_ms=1000, faults=[])
    do(lifecycle.retry, fresh, job)
    kill_one(fresh, job)

    # Then every record succeeds; and deleted, it leaves its calls alone
    books = fresh.finish(job)
    figures.note("retried, a worker killed", books)
    attempts = len(job.attempts())
    do(lifecycle.delete, fresh, job)
    wait_until(lambda: not job.outputs(), seconds=30, what="its content is gone")
    assert len(job.attempts()) == attempts
