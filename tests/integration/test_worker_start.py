"""Workers as users of Celery start them: `celery -A tasks worker`, with few options or none."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from models import Lease
from models.session import reading
from tasks.celery import app
from tasks.inspection import COMMAND
from tests.support.celery_nodes import PROJECT, PenstockWorker, SliceWorker, await_ready, launch
from tests.support.servers import wait_until
from tests.support.stack import Stack

pytestmark = pytest.mark.parametrize("environment", ["sqlite"], indirect=True)


class OnlyWorker(PenstockWorker):
    """The only process: both queues, and no beat anywhere."""

    options = ("-c", "16")


class NoSlices(PenstockWorker):
    queue = "control"


@pytest.fixture
def start(stack: Stack) -> Callable[..., str]:
    """Starts a worker, which ends with the test; returns its log."""

    def started(kind: type[PenstockWorker], **more: str) -> str:
        node = launch(kind, kind.__name__, stack.environment | more, stack.folder, app)
        stack.nodes.append(node)
        await_ready(node)
        return (stack.folder / f"{kind.__name__}.log").read_text()

    return started


def test_a_worker_without_options_serves_both_queues_with_threads_and_carries_a_job_alone(start, stack):
    # Given `celery -A tasks worker` with sixteen threads, and nothing else
    log = start(OnlyWorker)
    assert "serves_no" not in log

    # Then it says so itself, and two of its threads are kept for what it decides
    answers = []
    wait_until(lambda: answers.extend(asked()) or answers, what="it describes itself")
    [answer] = answers[0].values()
    assert answer["queues"] == ["control", "slices"]
    assert answer["pool"] == "celery.concurrency.thread"
    job = stack.prompts(300).wait_for("completed")
    assert job.counts().succeeded == 300
    with reading() as session:
        assert session.scalars(select(Lease.threads).where(Lease.dead_at.is_(None))).all() == [14]


def asked() -> list[dict[str, Any]]:
    with app.connection_for_write() as connection:  # one of the pool may be of a server that is gone
        return app.control.broadcast(COMMAND, reply=True, timeout=1, limit=1, connection=connection)


def test_workers_that_serve_one_queue_say_what_they_do_not_do(start, stack):
    # When a worker has `-Q control`, and another one `-Q slices`
    control, slices = start(NoSlices), start(SliceWorker)

    # Then each says at start what others must do
    assert "worker.serves_no_slices" in control
    assert "makes no calls" in control
    assert "worker.serves_no_control" in slices
    assert "serves_no_slices" not in slices
    assert stack.prompts(3).wait_for("completed").counts().succeeded == 3


@pytest.mark.parametrize(
    "options",
    [
        ("--pool", "prefork"),
        pytest.param(("--pool=solo",), marks=pytest.mark.long),
        pytest.param(("--autoscale", "8,2"), marks=pytest.mark.long),
    ],
)
def test_what_threads_cannot_do_is_refused_in_one_sentence(environment, options):
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", *options]
    ended = subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"penstock: {options[0].partition('=')[0]}")
    assert "start more workers" in line
