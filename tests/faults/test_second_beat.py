"""A second beat by mistake: the one of docker-compose.yml beside another one in the control worker."""

import datetime as dt
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import select

from app.core.pipeline.sweeping import sweep_owner
from config import settings
from models import Sweep
from models.session import reading
from tasks.celery import app
from tests.faults.support.breakable_stack import Site
from tests.support.celery_nodes import LocalProcess
from tests.support.servers import wait_until

pytestmark = pytest.mark.parametrize("environment", ["sqlite"], indirect=True)


@contextmanager
def beat_of(stack) -> Iterator[LocalProcess]:
    """`celery -A tasks beat`, once it answers its probe."""
    process = LocalProcess(["-A", "tasks", "beat"], stack.environment, stack.folder / "beat.log")
    try:
        name = f"celerybeat@{socket.gethostname()}"
        with app.connection_for_write() as connection:  # one of the pool may be of a server that is gone
            ping = partial(app.control.ping, [name], timeout=0.5, limit=1, connection=connection)
            wait_until(ping, what="beat answers")
        yield process
    finally:
        process.stop()


@pytest.fixture
def site(environment, tmp_path, upstream, monkeypatch) -> Iterator[Site]:
    variables = Site.asking(upstream) | {"BATCH_MAX_CONCURRENT_LLM_CALLS": "20"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.current.cache_clear()
    made = Site(environment | variables, tmp_path, upstream)
    yield made
    made.stop()


@pytest.mark.long  # in short: tests/integration/test_stand_in.py, test_of_two_beats_one_is_listened_to
def test_records_are_asked_once_and_the_sweep_is_not_doubled(site, upstream):
    # Given two beats, and a job that runs while both of them ask for sweeps
    upstream.configure(latency_ms=400)
    with beat_of(site):
        site.start()
        job, sweeps = site.ask(300), set()
        wait_until(lambda: len(noted(sweeps)) >= 3, what="two sweeps more", seconds=30)

        # Then there is no sweep right after another, though each beat asks for one every five seconds
        first, *others = sorted(sweeps)
        for second in others:
            assert (second - first).total_seconds() >= sweep_owner.SOON
            first = second

        # And every record is asked once, and the job ends once
        job.wait_for("completed")
        assert len(upstream.books()) == 300
        assert [attempt.outcome for attempt in job.attempts()] == ["answered"] * 300
        ends = [line for line in site.logs().splitlines() if "batch.completed" in line]
        assert [str(job.uid) in line for line in ends] == [True]


def noted(sweeps: set[dt.datetime]) -> set[dt.datetime]:
    """The sweeps, with the latest one."""
    with reading() as session:
        latest = session.scalars(select(Sweep.swept_at)).one()
    sweeps.add(latest)
    return sweeps
