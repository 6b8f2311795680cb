"""A web process is killed, or stands still, while it stores a submission."""

import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from sqlalchemy import func, select, text, update

from app.core.pipeline import leases, recovery
from app.errors import Conflict
from models import IdempotencyKey, Job, JobStatus, Lease, Record
from models.base import now
from models.session import in_transaction, reading
from tasks import sweep
from tests.faults.support.breakable_stack import stopped
from tests.support.celery_nodes import PROJECT
from tests.support.servers import wait_until
from tests.support.stack import redis_away
from tests.support.submit_process import store

RECORDS = 6_000  # six parts
on_postgresql = pytest.mark.parametrize("environment", ["postgresql"], indirect=True)


def test_a_killed_upload_leaves_nothing_and_is_taken_when_it_is_sent_again(stack):
    # Given an upload whose process is killed after so many records
    with uploading(stack) as process:
        moment = random.randrange(RECORDS // 2)
        wait_until(lambda: records() > moment, what=f"{moment} records are stored")
        process.kill()
        process.wait()

    # Then it is not seen, and its key is kept for it until its process is found dead
    assert statuses() == [JobStatus.STAGING]
    with pytest.raises(Conflict) as refused:
        again(stack)
    assert refused.value.retry_after

    # When that is so, then it is taken, whole, and the sweep removes what was left
    look_until_dead()
    assert again(stack).created
    sweep.sweep_once()
    assert (statuses(), records()) == ([JobStatus.RUNNING], RECORDS)  # its first window is open


@on_postgresql
def test_an_upload_that_is_slow_but_lives_is_not_dropped(stack):
    # Given an upload that stands still for two looks
    with uploading(stack) as process:
        wait_until(records, what="it is under way")
        with stopped(process.pid):
            for _ in range(leases.STILL_LOOKS):
                look()

        # When it goes on, then it ends as if nothing had been
        told = process.communicate(timeout=60)[0]
    assert told.split()[-1] == b"True"
    assert (statuses(), records()) == ([JobStatus.RUNNING], RECORDS)  # its first window is open


@on_postgresql
@pytest.mark.long
def test_an_upload_that_was_taken_for_dead_finds_the_job_of_the_one_that_was_sent_again(stack):
    # Given an upload that stands still for so long that it is sent again and stored
    with uploading(stack) as process:
        wait_until(records, what="it is under way")
        with stopped_where(process, has_no_transaction):
            look_until_dead()
            second = again(stack)

        # When it goes on, then it answers with the job that is there, and there is one
        told = process.communicate(timeout=60)[0]
    assert told.split()[-2:] == [str(second.uid).encode(), b"False"]
    sweep.sweep_once()
    assert (statuses(), records()) == ([JobStatus.RUNNING], RECORDS)  # its first window is open
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(IdempotencyKey)) == 1


@on_postgresql
def test_an_upload_that_stands_still_and_holds_its_job_lets_others_be_found_dead(stack):
    # Given an upload that stands still while it holds its job, and a worker that has died
    worker = in_transaction(lambda session: leases.take(session, works=True))
    with uploading(stack) as process:
        wait_until(records, what="it is under way")
        with stopped_where(process, holds_its_job):
            # Then the worker is found dead, and the upload is waited for
            found = []
            wait_until(lambda: found.extend(look()) or worker in found, what="the worker is found dead")
            assert found == [worker]
        assert process.communicate(timeout=60)[0].split()[-1] == b"True"
    assert (statuses(), records()) == ([JobStatus.RUNNING], RECORDS)


@contextmanager
def stopped_where(process, is_there):
    """Stand still at a moment of which `is_there()` is true."""

    def is_caught():
        process.send_signal(signal.SIGSTOP)
        if is_there() and is_there():  # the server may be about to end what it was sent before
            return True
        process.send_signal(signal.SIGCONT)
        return False

    wait_until(is_caught, what=f"it stands still: {is_there.__name__}")
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def holds_its_job():
    with reading() as session:
        free = session.scalars(select(Job.id).with_for_update(key_share=True, skip_locked=True))
        return not free.all()


def has_no_transaction():
    others = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
    )
    with reading() as session:
        return session.scalar(others) == 0


@contextmanager
def uploading(stack):
    command = [sys.executable, "-m", "tests.support.submit_process"]
    process = subprocess.Popen(
        [*command, str(stack.tenant_id), str(stack.user_id), "key", str(RECORDS)],
        cwd=PROJECT,
        env=os.environ,
        stdout=subprocess.PIPE,
    )
    with process:
        try:
            assert process.stdout.readline() == b"begins\n"
            yield process
        finally:
            process.kill()


def again(stack):
    """Sent again; the sweep is to find the job."""
    with redis_away():
        return store(stack.tenant_id, stack.user_id, "key", RECORDS)


def look():
    """A look at the leases, as if three seconds had passed since the last one."""
    in_transaction(lambda session: session.execute(update(Lease).values(looked_at=now(-4))) and None)
    return [dead.lease_id for dead in in_transaction(recovery.look_for_dead)]


def look_until_dead():
    wait_until(look, what="its lease is found dead")


def statuses():
    with reading() as session:
        return session.scalars(select(Job.status)).all()


def records():
    with reading() as session:
        return session.scalar(select(func.count()).select_from(Record))
