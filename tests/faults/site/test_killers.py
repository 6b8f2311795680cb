"""A record that takes its process down with it: it ends, and the records beside it do not suffer."""

import os
import signal
from collections import Counter
from functools import partial

import pytest
from sqlalchemy import select, update

from app.core.pipeline import lifecycle, quarantine, recovery
from models import Lease, Record, RecordStatus
from models.session import in_transaction, reading
from tasks.wake import wake
from tests.faults.support.breakable_stack import Site, held_by, lease_of, process
from tests.faults.support.rounds import LONG
from tests.support.servers import wait_until

RECORDS = 60
KILLER = 0  # the index of the record that says "prompt 0"


def test_a_killer_is_found_and_every_bystander_of_its_deaths_succeeds(fresh: Site):
    # Given a record that kills, and others that were in two deaths with it and are so for the third time
    held = {"kind": "hang", "matching": "prompt 0"}
    fresh.upstream.configure(latency_ms=3000, faults=[held])
    job = fresh.ask(RECORDS)
    in_transaction(lambda session: session.execute(update(Record).values(deaths=2)) and None)
    wait_until(lambda: holder(job) and len(held_by(holder(job).id, job)) > 1, what="the killer is not alone")

    # When the process dies that has it
    bystanders = kill_holder(job)
    bystanders.remove(KILLER)
    fresh.upstream.configure(latency_ms=0, faults=[held])

    # Then it is asked alone, in a process that has nothing else, and so once more when that has died
    for _ in range(2):
        wait_until(lambda: holder(job), seconds=60, what="the killer is asked again")
        assert kill_holder(job) == [KILLER]

    # And that is its end; what was beside it was asked once more, and has succeeded
    job.wait_for("completed")
    assert bystanders
    assert job.statuses() == {"succeeded": RECORDS - 1, "failed": 1}
    assert job.outputs()[KILLER].error_type == recovery.KILLER
    asked = Counter(attempt.idx for attempt in job.attempts())
    assert asked == {**dict.fromkeys(range(RECORDS), 1), **dict.fromkeys(bystanders, 2), KILLER: 3}
    assert fresh.reconcile(job).unconfirmed == len(bystanders) + 3


@pytest.mark.long
def test_bystanders_of_three_deaths_all_succeed(fresh: Site, figures):
    # Given records of which workers held some when they died, all of which have been in three deaths by now
    count = 1000 if LONG else 30
    fresh.upstream.configure(latency_ms=30_000)
    job = fresh.ask(count)
    wait_until(lambda: job.statuses()["running"] >= min(count, 30), what="calls are in flight")
    in_transaction(
        lambda session: lifecycle.pause(session, lifecycle.find(session, fresh.tenant_id, job.uid))
    )
    for node in fresh.slices:
        lease = lease_of(process(node).pid)
        node.kill()
        in_transaction(partial(recovery.end_lease, lease_id=lease, died=True))
    in_transaction(lambda session: session.execute(suspected(job)) and None)

    # When it goes on, with a worker that asks each of them alone
    fresh.upstream.configure(latency_ms=0)
    in_transaction(
        lambda session: lifecycle.resume(session, lifecycle.find(session, fresh.tenant_id, job.uid))
    )
    wake(job.id)
    fresh.mend()

    # Then every one of them succeeds
    job.wait_for("completed", seconds=600)
    assert job.statuses() == {"succeeded": count}
    figures.note("a thousand records that were in three worker deaths", fresh.reconcile(job))


def suspected(job):
    """Rows as three deaths leave them."""
    return (
        update(Record)
        .where(Record.job_id == job.id, Record.status.in_([RecordStatus.PENDING, RecordStatus.WAITING]))
        .values(status=RecordStatus.WAITING, deaths=quarantine.SHARED_DEATHS, not_before=None)
    )


def holder(job):
    """The lease and the name of the process that asks the killer."""
    with reading() as session:
        return session.execute(
            select(Lease.id, Lease.name)
            .join(Record, Record.lease_id == Lease.id)
            .where(Record.job_id == job.id, Record.idx == KILLER, Record.status == RecordStatus.RUNNING)
        ).one_or_none()


def kill_holder(job):
    """kill -9 the process that asks the killer, and find it dead at once; returns what it had in hand."""
    lease = holder(job)
    os.kill(int(lease.name.rpartition(":")[2]), signal.SIGKILL)
    held = held_by(lease.id, job)
    in_transaction(partial(recovery.end_lease, lease_id=lease.id, died=True))
    return held
