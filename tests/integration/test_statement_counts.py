"""What a group of answers and a claim cost in statements, however many records they are about."""

from functools import partial
from threading import Thread

import pytest
from sqlalchemy import select, text, update

from app.core.money import ledger
from app.core.money.ledger import Call
from app.core.money.reconciliation import Check
from app.core.pipeline import claims, leases, outcomes, recovery, scheduler
from app.core.pipeline.outcomes import Outcome
from app.core.reading.records import snapshot
from app.core.requests import job_context
from app.providers.client import Usage
from models import Job, JobCounts, RecordStatus, session
from models.session import in_transaction
from tests.support.servers import wait_until

GROUP = 256  # answers that a process writes in one transaction at most


def test_a_group_of_second_answers_locks_the_counts_for_as_few_statements_as_first_ones(quiet, statements):
    # Given as many records as a group holds, each of which was answered once, in vain
    job = quiet.prompts(GROUP)
    window, lease = first_window(job), in_transaction(leases.take)
    in_vain = [given_back(claim) for claim in take(window, lease, GROUP)]
    in_transaction(partial(outcomes.write, group=in_vain))
    second = [answered(claim, cost=5) for claim in take(window, lease, GROUP)]

    # When their second answers are written
    with statements() as sent:
        in_transaction(partial(outcomes.write, group=second))

    # Then the job's counts were locked for as long as for first answers, and each costs both of its calls
    locked = next(n for n, statement in enumerate(sent) if statement.startswith("UPDATE job_counts"))
    assert len(sent[locked:]) <= 4  # counts, spend, outputs, when to look again
    assert len(sent) <= 8
    assert [output.cost for output in job.outputs().values()] == [3 + 5] * GROUP
    assert job.counts().cost == GROUP * (3 + 5)
    assert differences() == []


def test_late_answers_of_a_group_are_paid_in_one_statement_a_day(quiet, statements):
    # Given many calls of a process that was taken for dead, asked again by another
    job = quiet.prompts(GROUP)
    window, dead, lease = first_window(job), in_transaction(leases.take), in_transaction(leases.take)
    late = [answered(claim, cost=7) for claim in take(window, dead, GROUP // 2)]
    in_transaction(partial(recovery.end_lease, lease_id=dead, died=True))
    again = [answered(claim, cost=5) for claim in take(window, lease, GROUP // 2)]

    # When all their answers come in one group
    with statements() as sent:
        in_transaction(partial(outcomes.write, group=[*again, *late]))

    # Then the late ones are in the ledger, and nothing was done one by one while the counts were locked
    locked = next(n for n, statement in enumerate(sent) if statement.startswith("UPDATE job_counts"))
    assert len(sent[locked:]) <= 5
    assert {output.cost for output in job.outputs().values()} == {7 + 5}
    assert (job.counts().cost, job.counts().cost_unconfirmed) == (GROUP // 2 * (7 + 5), 0)
    assert differences() == []


@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
def test_a_late_answer_while_the_counts_are_waited_for_is_paid_and_not_in_its_records_line(quiet):
    # Given a record that is asked again, because the process that asked it first was taken for dead
    job = quiet.prompts(1)
    window, dead, lease = first_window(job), in_transaction(leases.take), in_transaction(leases.take)
    (late,) = [answered(claim, cost=7) for claim in take(window, dead, 1)]
    in_transaction(partial(recovery.end_lease, lease_id=dead, died=True))
    (again,) = [answered(claim, cost=5) for claim in take(window, lease, 1)]

    # When the second answer has read what its record costs and waits for the counts, and the first one comes
    writers = [
        Thread(target=in_transaction, args=[partial(outcomes.write, group=[o])]) for o in (again, late)
    ]
    with session.engine().begin() as holder:
        holder.execute(select(JobCounts).where(JobCounts.job_id == job.id).with_for_update())
        for started, writer in enumerate(writers, start=1):
            writer.start()
            wait_until(lambda: waiting_for_locks() == started, what=f"{started} wait")  # noqa: B023
    for writer in writers:
        writer.join()

    # Then both are paid, and the books agree
    assert job.outputs()[0].cost == 5
    assert (job.counts().cost, job.counts().cost_unconfirmed) == (7 + 5, 0)
    assert sum(attempt.cost for attempt in job.attempts()) == 7 + 5
    assert differences() == []


@pytest.mark.parametrize(("cap", "statements_at_most"), [(None, 7), (10**15, 11)])
def test_a_claim_takes_as_many_statements_for_many_records_as_for_one(
    quiet, statements, cap, statements_at_most
):
    # Given a job without a cap, or one under it
    job = quiet.prompts(300)
    window, lease = first_window(job), in_transaction(leases.take)
    in_transaction(lambda s: s.execute(update(Job).where(Job.id == job.id).values(max_cost=cap)) and None)
    take(window, lease, 1)

    # When records of it are claimed
    with statements() as sent:
        taken = take(window, lease, 64)

    # Then one statement claims them all, and reserves what each may cost
    assert len(taken) == 64
    assert sum("UPDATE record SET" in statement for statement in sent) == 1
    assert len(sent) <= statements_at_most


def first_window(job):
    (publication,) = in_transaction(partial(scheduler.advance, job_id=job.id, held_for=0))
    return publication


def take(window, lease, limit):
    work = partial(claims.take, window_id=window.window_id, epoch=window.epoch, lease_id=lease, limit=limit)
    return in_transaction(work).claims


def given_back(claim):
    return Outcome(job_context.of(claim.job_id), claim, call(cost=3), again_in=0.0)


def answered(claim, cost):
    return Outcome(job_context.of(claim.job_id), claim, call(cost), RecordStatus.SUCCEEDED, b"{}")


def call(cost):
    return Call(ledger.ANSWERED, "simulated", Usage(10, 5), cost, "test")


def waiting_for_locks():
    """How many sessions of this database wait for another's."""
    ours = "datname = current_database() AND wait_event_type = 'Lock'"
    with session.engine().connect() as connection:
        return connection.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {ours}"))


def differences():
    """Where totals and calls do not agree."""
    with snapshot() as taken:
        return [str(difference) for difference in Check(taken).differences()]
