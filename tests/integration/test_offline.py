"""Jobs while no stack runs: the command line answers itself from the database, and no broker is needed."""

import io

import pytest
from click.testing import CliRunner

from app.cli.client import Rest
from app.cli.commands.jobs import jobs
from app.cli.jobs import offline
from app.errors import StackRefused, Unavailable
from config import settings
from tests.support.front_door import Door, Worker
from tests.support.stack import redis_away


@pytest.fixture
def door(environment) -> Door:
    return Door()


@pytest.fixture
def rest(door):
    with redis_away(), offline.contract(settings.current(), lambda: door.key) as rest:
        yield rest


def test_a_job_is_listed_paused_resumed_cancelled_read_and_deleted(door, rest: Rest):
    job = door.submit(3)["id"]
    Worker().end({"id": job}, [0])

    assert [each["id"] for each in rest.jobs()] == [job]
    assert rest.act(job, "pause")["status"] == "paused"
    assert rest.act(job, "resume")["status"] in ("pending", "running")
    assert rest.act(job, "cancel")["status"] == "cancelled"
    results = io.BytesIO()
    rest.download(job, {"format": "csv"}, results)
    assert len(results.getvalue().splitlines()) == 1 + 3
    rest.delete(job)
    assert list(rest.jobs()) == []
    assert rest.is_offline


def test_what_failed_of_a_job_that_was_just_cancelled_is_retried(door, rest: Rest):
    job = door.submit(3)["id"]
    Worker().end({"id": job}, [0], error=("bad_answer", "odd"))
    rest.act(job, "cancel")
    assert rest.retry(job)["status"] == "running"


def test_a_cancelled_job_of_which_nothing_failed_is_refused_a_retry_at_once(door, rest: Rest):
    job = door.submit(3)["id"]
    rest.act(job, "cancel")
    with pytest.raises(StackRefused, match=r"nothing to retry\. What was cancelled is asked by a new job"):
        rest.retry(job)


def test_a_job_that_no_stack_can_end_says_what_it_waits_for(door, monkeypatch):
    job = door.submit(3)["id"]
    Worker().claim({"id": job}, [0])
    monkeypatch.setenv("PENSTOCK_API_KEY", door.key)
    with redis_away():
        said = CliRunner().invoke(jobs, ["cancel", job]).output
    assert f"job {job} is cancelling" in " ".join(said.split())
    assert "the next one books them, and then it is cancelled" in " ".join(said.split())


def test_what_a_stack_would_refuse_is_refused(door, rest: Rest):
    job = door.submit(3)["id"]
    with pytest.raises(StackRefused, match="cancel it before"):
        rest.delete(job)
    with pytest.raises(StackRefused, match="there is no job"):
        rest.job("nonsense")


def test_a_database_that_lives_in_memory_has_no_jobs_without_its_stack():
    chosen = settings.read({"BATCH_PERSISTENCE_BACKEND": "memory"})
    with pytest.raises(Unavailable, match="memory"), offline.contract(chosen, str):
        pass
