"""`penstock sweep`: what it found, of which job, and how that is known."""

from functools import partial

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from app.cli import cli
from app.core.limits.limiter import limiter
from app.core.limits.threads import Wish
from app.core.measures import metrics, sharing
from app.core.measures.counts import Series, counts
from app.core.pipeline import claims, leases, lifecycle, scheduler
from models import Job, Lease, Window
from models.base import now
from models.session import in_transaction


@pytest.fixture
def short_looks(monkeypatch):
    """Looks at leases follow each other quickly: how far apart they are is another test's matter."""
    monkeypatch.setattr(leases, "LOOK_EVERY", 0.05)


def test_a_dead_worker_is_found_by_hand_and_its_records_go_back(quiet, short_looks):
    # Given a process that holds records and raises its counter no more, and nobody who looks
    job = quiet.prompts(5)
    (publication,) = in_transaction(partial(scheduler.advance, job_id=job.id, held_for=0))
    lease = in_transaction(leases.take)
    take = partial(claims.take, window_id=publication.window_id, epoch=1, lease_id=lease, limit=3)
    in_transaction(take)

    said = swept()

    # Then it is said which process died, how that is known, and what of which job went back
    with_name = in_transaction(lambda session: session.get_one(Lease, lease).name)
    proof = "its counter did not change over four checks"
    assert f"the process {with_name} is dead: {proof}" in said
    assert f"job {job.uid} (running): 3 records given back" in said
    assert job.statuses() == {"waiting": 3, "pending": 2}
    # And the metrics have it, though this process has ended
    counts.reset()
    assert sharing.read_counts()[Series(metrics.RECOVERED_RECORDS.name, ())] == 3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"published_at": None, "offered_at": now(-6)}, "its messages were not confirmed as sent within 5 s"),
        ({"published_at": now(-1), "incarnation": "another"}, "the broker came back without its messages"),
    ],
)
def test_a_lost_window_is_named_with_how_that_is_known(quiet, change, why):
    job = quiet.prompts(5)
    (publication,) = in_transaction(partial(scheduler.advance, job_id=job.id, held_for=0))
    in_transaction(lambda session: session.execute(update(Window).values(**change)) and None)
    of_before = Wish(publication.window_id, 99, quiet.tenant_id, job.id, capacity=10, whole=0, fewer=2)
    assert limiter().threads.take(of_before, in_line=False).slices

    said = swept()

    assert f"job {job.uid} (running): its window (1–5 of 5) was lost" in said
    assert why in said
    assert f"job {job.uid} (running): slices were counted as at work" in said


def test_rows_that_are_written_late_are_counted_and_a_job_that_was_due_is_named(quiet):
    closed, due = quiet.prompts(20), quiet.prompts(2)
    in_transaction(
        lambda session: lifecycle.cancel(session, lifecycle.find(session, quiet.tenant_id, closed.uid))
    )

    said = swept()

    assert f"job {closed.uid} (cancelled): 20 rows updated: the job was closed" in said
    assert f"job {due.uid} (running): it was due for an advance; offered: 1–2 of 2" in said
    assert swept() == "nothing was left behind\n"


def test_a_job_that_nobody_advances_is_named_at_last(quiet):
    job = quiet.prompts(2)
    in_transaction(partial(scheduler.advance, job_id=job.id, held_for=0))
    in_transaction(lambda session: session.execute(update(Window).values(closed_at=now())) and None)
    in_transaction(lambda session: session.execute(update(Job).values(updated_at=now(-400))) and None)

    assert f"job {job.uid} is stuck: it has no call in flight" in swept()


def swept():
    ended = CliRunner().invoke(cli, ["sweep"])
    assert ended.exit_code == 0, ended.output
    return ended.output
