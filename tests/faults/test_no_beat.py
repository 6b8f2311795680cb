"""No beat and no control worker: slice workers carry a job to its end by themselves."""

import pytest
from sqlalchemy import update

from config import settings
from models import Sweep
from models.base import now
from models.session import in_transaction
from tests.faults.support.breakable_stack import CLAUDE, Site, held_by, lease_of
from tests.support.servers import wait_until

pytestmark = pytest.mark.parametrize("environment", ["sqlite"], indirect=True)


@pytest.fixture
def abandoned(stack, upstream, monkeypatch):
    """A stack that has slice workers alone, and in which nobody has swept for half a minute."""
    variables = Site.asking(upstream)
    stack.environment |= variables
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.current.cache_clear()
    in_transaction(lambda session: session.execute(update(Sweep).values(swept_at=now(-31))) and None)
    return stack


def ask(stack, count):
    return stack.submit([{"prompt": f"Prompt {n}"} for n in range(count)], model=CLAUDE)


def test_a_job_goes_on_to_its_end(abandoned):
    # Given one slice worker
    abandoned.start_slices()

    # When a job has more records than one chord has, then it ends all the same
    assert ask(abandoned, 300).wait_for("completed").counts().succeeded == 300


@pytest.mark.long
def test_a_dead_worker_is_found_and_its_records_are_asked_by_another(abandoned, upstream):
    # Given two slice workers, one of which is killed with records of a job in hand
    upstream.configure(latency_ms=1500)
    dead, _ = abandoned.start_slices(), abandoned.start_slices()
    job = ask(abandoned, 300)
    process = dead.container._container.process
    lease = lease_of(process.pid)
    wait_until(lambda: held_by(lease, job), what="it has records in hand")
    process.kill()
    lost = held_by(lease, job)

    # Then the other gives them back, asks them, and ends the job
    job.wait_for("completed", seconds=90)
    assert job.counts().succeeded == 300
    unconfirmed = [attempt.idx for attempt in job.attempts() if attempt.outcome == "unconfirmed"]
    assert unconfirmed == lost != []
