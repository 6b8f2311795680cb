"""A job of a command is paused when that one ends, and a stack of one command goes on with no other job."""

import datetime as dt
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from app.core.money import pricing
from app.core.pause_reasons import LEFT
from app.stack import ownership, runs
from app.stack.runs import Run
from config import settings
from models import Job
from models.session import reading
from tests.support.front_door import JOBS, Door, Worker, number_of

HEADER = "Penstock-Run"
GOING = ("pending", "running")


@pytest.fixture
def door(environment) -> Door:
    return Door()


@pytest.fixture
def command(tmp_path):
    """This process as a command."""
    made = Run(tmp_path)
    yield made
    made.end()


@pytest.fixture
def ended(tmp_path) -> str:
    """The id of a command that was killed."""
    script = f"from app.stack.runs import Run; run = Run({tmp_path!r}); print(run.id, flush=True); input()"
    script = script.replace("PosixPath", "__import__('pathlib').Path")
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    id = process.stdout.readline().strip()
    assert runs.lives(tmp_path, id)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return id


def submit(door, run=None):
    return door.submit(headers={HEADER: run} if run else None)


def status(door, job):
    shown = door.job(job)
    return shown["status"], shown["status_reason"]


def settle(data: Path, **options):
    lines: list[str] = []
    ownership.settle(data, lines.append, **{"for_one_command": True, "is_alone": True, **options})
    return lines


def test_a_stack_of_one_command_pauses_what_is_not_its_own_and_the_next_that_lives_on_takes_it_back(
    door, command, tmp_path
):
    # Given a job of a command that lives, one of nobody, and one that its owner has paused
    own, nobodys, paused = submit(door, command.id), submit(door), submit(door)
    door.post(f"{JOBS}/{paused['id']}/pause")

    # When a stack starts for a command
    assert settle(tmp_path) == ["1 job of an earlier stack paused"]

    # Then the first alone goes on
    assert status(door, own)[0] in GOING
    word, reason = status(door, nobodys)
    assert word == "paused"
    assert f"`penstock jobs resume {nobodys['id']}`" in reason

    # And a stack that lives on goes on with what nobody has paused on purpose
    assert settle(tmp_path, for_one_command=False) == ["1 job of an earlier stack resumed"]
    assert status(door, nobodys)[0] in GOING
    assert status(door, paused) == ("paused", "Paused by its owner.")


@pytest.mark.parametrize("for_one_command", [True, False])
def test_the_job_of_a_command_that_was_killed_waits_for_it_on_any_stack(
    door, ended, tmp_path, for_one_command
):
    job = submit(door, ended)

    settle(tmp_path, for_one_command=for_one_command)

    word, reason = status(door, job)
    assert word == "paused"
    assert reason.startswith(LEFT)
    assert f"`penstock jobs resume {job['id']}`" in reason
    assert not runs.dead(tmp_path)


def test_a_running_stack_pauses_the_job_of_a_command_that_is_killed_beside_it(door, command, ended, tmp_path):
    own, left = submit(door, command.id), submit(door, ended)
    lines: list[str] = []

    ownership.watch(tmp_path, lines.append)
    ownership.watch(tmp_path, lines.append)

    assert lines == ["1 job of ended commands paused"]
    assert status(door, left)[0] == "paused"
    assert status(door, own)[0] in GOING


def test_on_a_database_of_several_machines_only_what_ended_here_is_paused(door, ended, tmp_path):
    elsewhere, left, nobodys = submit(door, "f" * 32), submit(door, ended), submit(door)

    settle(tmp_path, is_alone=False)

    assert status(door, left)[0] == "paused"
    for job in (elsewhere, nobodys):
        assert status(door, job)[0] in GOING


def test_a_command_that_leaves_pauses_its_own_job_and_not_one_that_another_has_taken_up(door):
    # Given a job of one command, taken up by an equal one
    first, second = "a" * 32, "b" * 32
    job = submit(door, first)
    act = f"{JOBS}/{job['id']}/"
    assert door.post(f"{act}resume", headers={HEADER: second}).status_code == 200

    # When the first leaves, the job goes on; when the second does, it is paused
    assert door.post(f"{act}pause", headers={HEADER: first}).get_json()["status"] in GOING
    assert door.post(f"{act}pause", headers={HEADER: second}).get_json()["status"] == "paused"

    # And who resumes it by hand wants it to go on whatever ends
    door.post(f"{act}resume")
    assert door.post(f"{act}pause", headers={HEADER: second}).get_json()["status"] in GOING


def test_what_is_no_id_of_a_command_is_refused(door):
    refused = door.post_records(headers={HEADER: "mine"})
    assert refused.status_code == 422
    assert "32 hexadecimal digits" in refused.get_json()["error"]["message"]


def test_a_command_that_has_just_begun_is_never_taken_for_a_dead_one(tmp_path):
    begun = Run(tmp_path)
    assert runs.dead(tmp_path) == set()
    assert runs.lives(tmp_path, begun.id)
    assert [path.suffix for path in (tmp_path / runs.FOLDER).iterdir()] == [".lock"]
    begun.end()
    assert list((tmp_path / runs.FOLDER).iterdir()) == []


@pytest.mark.one_database
def test_what_a_job_may_still_cost_falls_with_its_answers_and_stays_within_its_cap(door, monkeypatch):
    # Given jobs of a paid model, one with a cap, and of one whose price nobody knows
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    settings.current.cache_clear()
    job = door.submit(4, model="claude-haiku-4-5", max_tokens=100)
    capped = door.submit(4, model="claude-haiku-4-5", max_tokens=100, max_cost="0.0001")
    unknown = door.submit(4, model="claude-nobody-knows")

    # Then the worst case of a call is counted for each record that has not ended
    def left(job):
        return Decimal(door.job(job)["cost_remaining"])

    with reading() as session:
        size = session.get_one(Job, number_of(job)).request_bytes
    price = pricing.price_at("claude-haiku-4-5", dt.datetime.now(dt.UTC))
    call = Decimal(price.worst_case(-(-size // 4), 100)) / 10**12
    assert left(job) == 4 * call
    Worker().end(job, [0, 1], model="claude-haiku-4-5")
    assert left(job) == 2 * call
    assert left(capped) == Decimal("0.0001")
    assert door.job(unknown)["cost_remaining"] is None
    door.post(f"{JOBS}/{job['id']}/cancel")
    assert left(job) == 0
