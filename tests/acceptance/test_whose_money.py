"""Money is spent only by whom it is meant: `penstock run` and `penstock jobs` on one data directory."""

import csv
import json
import signal
import sqlite3
import uuid
from pathlib import Path

import pytest

from app.stack.lock import holder
from tests.support.commands import Command, Stack
from tests.support.servers import wait_until

SLOW = {"SIMULATED_REQUESTS_PER_MINUTE": "10"}  # half of twenty leave at once, the others over a minute
WRONG, RIGHT = "Say it wrong: {{ review }}", "Say it right: {{ review }}"


@pytest.fixture
def penstock(tmp_path):
    """Start a command on a data directory of this test's own."""
    started: list[Command] = []

    def start(*arguments: str, **environment: str) -> Command:
        started.append(Command(arguments, tmp_path / "data", **environment))
        return started[-1]

    yield start
    for command in started:
        command.clear_away()


@pytest.fixture
def reviews(tmp_path) -> Path:
    path = tmp_path / "reviews.csv"
    path.write_text("review\n" + "".join(f"review {number}\n" for number in range(20)))
    return path


def asked(data: Path) -> dict[str, int]:
    """Calls of each job, by its id."""
    with sqlite3.connect(f"file:{data / 'penstock.db'}?mode=ro", uri=True) as database:
        rows = database.execute(
            "SELECT uid, count(attempt.idx) FROM job LEFT JOIN attempt ON job_id = job.id GROUP BY job.id"
        )
        return {str(uuid.UUID(uid)): count for uid, count in rows}


def job_of(command: Command) -> str:
    return command.said.partition("\njob ")[2][:36]


def begun(penstock, reviews, prompt=WRONG, least=3) -> tuple[Command, str]:
    """A slow run whose job has asked `least` of its records or more, and the job."""
    run = penstock("run", str(reviews), "--prompt", prompt, "-o", str(reviews.with_name("wrong.csv")), **SLOW)
    run.says("20 records", 90)
    run.says("\njob ")
    job = job_of(run)
    wait_until(lambda: asked(run.data)[job] >= least, seconds=60, what="some are asked")
    return run, job


def shown(penstock, job: str) -> dict[str, object]:
    command = penstock("jobs", "show", job)
    assert command.ends() == 0, command.said
    found: dict[str, object] = json.loads(command.said)
    return found


def done(penstock, *arguments: str) -> str:
    command = penstock("jobs", *arguments)
    assert command.ends() == 0, command.said
    return command.said


def test_after_ctrl_c_only_its_own_command_goes_on_with_a_job_and_none_is_needed_to_end_it(penstock, reviews):
    # Given a run with a wrong prompt, stopped with Ctrl-C
    wrong, job = begun(penstock, reviews)
    wrong.interrupt()
    assert wrong.ends() == 130, wrong.said
    paid = asked(wrong.data)
    assert f"`penstock jobs resume {job}`" in wrong.said

    # When the right one runs on the same data
    right = penstock("run", str(reviews), "--prompt", RIGHT)
    assert right.ends() == 0, right.said

    # Then it says what waits there and touches nothing of it
    assert "1 other job is unfinished here" in right.said
    assert f"{job}  reviews.csv, paused" in right.said
    assert "may still cost up to $0.00" in right.said
    assert asked(wrong.data).items() >= paid.items()

    # And without a stack the wrong one is listed, read, resumed and cancelled
    assert f"{job}  paused" in done(penstock, "list")
    so_far = [json.loads(line) for line in done(penstock, "results", job).splitlines()]
    assert len(so_far) == paid[job]
    assert "it goes on with `penstock up`, or with its own command" in done(penstock, "resume", job)
    assert f"job {job} is cancelled" in done(penstock, "cancel", job)
    assert asked(wrong.data).items() >= paid.items()


def test_a_killed_runs_job_waits_on_every_stack_until_its_command_comes_back(penstock, reviews):
    # Given a run that was killed without a word
    run, job = begun(penstock, reviews)
    run.process.send_signal(signal.SIGKILL)
    wait_until(lambda: holder(run.data) is None, seconds=60, what="its stack has ended with it")
    assert shown(penstock, job)["status"] == "paused"
    paid = asked(run.data)

    assert list((run.data / "runs").iterdir()) == []

    # When a stack starts that lives on, then it does not go on with it
    up = Stack(run.data, **SLOW).is_ready()
    try:
        assert shown(penstock, job)["status"] == "paused"
        assert asked(run.data) == paid

        # But its own command does; and Ctrl-C leaves it running there, and says how to pause and to end it
        again = penstock("run", str(reviews), "--prompt", WRONG, "-o", str(reviews.with_name("wrong.csv")))
        again.says(f"resuming job {job}")
        again.says("10/20")
        again.interrupt()
        assert again.ends() == 130, again.said
        assert f"`penstock jobs pause {job}`" in again.said
        assert f"`penstock jobs cancel {job}`" in again.said
        assert "answers so far are in" in again.said

        # Nor does it end because somebody stops watching it
        watching = penstock("jobs", "watch", job)
        watching.says("/20")
        watching.interrupt()
        assert watching.ends() == 130
        assert "stopped watching; the job is left as it is" in watching.said
        assert shown(penstock, job)["status"] == "running"
    finally:
        up.clear_away()


def test_of_two_runs_on_one_stack_the_one_that_is_killed_has_its_job_paused_and_the_other_goes_on(
    penstock, reviews
):
    _, one = begun(penstock, reviews)
    second, other = begun(penstock, reviews, RIGHT, least=0)

    second.process.send_signal(signal.SIGKILL)

    wait_until(lambda: shown(penstock, other)["status"] == "paused", seconds=30, what="its job is paused")
    assert shown(penstock, one)["status"] == "running"


@pytest.mark.long  # the second waits for its stack for twenty seconds
def test_of_two_equal_runs_each_goes_on_when_the_other_ends(penstock, reviews):
    # Given two, of which the second has taken the job up
    first, job = begun(penstock, reviews)
    command = ("run", str(reviews), "--prompt", WRONG, "-o", str(reviews.with_name("wrong.csv")))
    second = penstock(*command)
    second.says(f"resuming job {job}", 60)

    # When the first, whose stack it is, is stopped, then the second goes on with a stack of its own
    first.interrupt()
    assert first.ends() == 130
    assert second.ends(90) == 0, second.said
    with reviews.with_name("wrong.csv").open(newline="", encoding="utf-8-sig") as file:
        assert len(list(csv.DictReader(file))) == 20
    assert asked(first.data)[job] == 20
