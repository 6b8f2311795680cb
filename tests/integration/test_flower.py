"""Flower tells the truth about records and deliveries, shows work alone, and lets nobody touch anything."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from app.core.worker.reports.summary import NOTHING
from app.services.options import Options
from models import Sweep
from models.session import reading
from tests.conftest import penstock_of_its_own
from tests.support.flower import Flower, flower, refusal
from tests.support.servers import wait_until
from tests.support.stack import Running, Stack
from tests.support.webhook_receiver import Receiver, receiving

OUTCOMES = re.compile(
    r"(?:(?P<failed>\d+) of )?(?P<ended>\d+) (?:succeeded|failed \((?P<why>\w+)\))(?: · |$)"
)
FIGURES = re.compile(r"(?P<figure>[\d,.$]+) (?P<word>retried|tokens)")
SHUTDOWN = "/api/worker/shutdown/"


@pytest.fixture(scope="module")
def stack(request, upstream_process, tmp_path_factory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("flower")
    more = {
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": upstream_process.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "60000",
        "WEBHOOK_NETWORKS": "127.0.0.0/8",
    }
    with penstock_of_its_own("sqlite", request, folder, **more) as values:
        made = Stack(values, folder).start(slice_workers=2)
        yield made
        made.stop()


@pytest.fixture(scope="module")
def seen(stack) -> Iterator[Flower]:
    """Flower, which has the workers' events from now on."""
    with flower(stack.environment, stack.folder) as running:
        running.await_workers(3)
        yield running


@pytest.fixture(scope="module")
def sweeps(seen) -> list[Any]:
    """When the last sweep was that Flower had nothing of."""
    return [swept()]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def slices(seen: Flower, job: Running) -> list[dict[str, Any]]:
    found = seen.tasks(taskname="penstock.slice")
    return [one for one in found if str(job.uid) in one["args"] and one["state"] == "SUCCESS"]


def figure(text: str, word: str) -> int:
    return sum(
        int(found["figure"].replace(",", "")) for found in FIGURES.finditer(text) if found["word"] == word
    )


def test_a_slice_tells_what_became_of_its_records_and_whose_they_are(stack, seen, sweeps, upstream):
    # Given a provider that refuses a fourth of the records, and fails once with others
    refused = {"kind": "status", "status": 400, "share": 0.25, "type": "invalid_request_error"}
    fails_once = {"kind": "status", "status": 500, "share": 0.2, "first_of_each": 1, "type": "api_error"}
    stack.prompts(20, model="claude-haiku-4-5").wait_for("completed")  # so many failures are no outage then
    upstream.configure(faults=[refused, fails_once])

    # When a job of three slices has run
    name = "reviews of the year.csv"
    job = stack.prompts(130, model="claude-haiku-4-5", options=Options(name=name)).wait_for("completed")
    wait_until(lambda: len(slices(seen, job)) == 3, what="Flower has seen the slices")

    # Then their results together are what the job counts, in words
    results = [
        task["result"] for task in slices(seen, job) if task["result"] != NOTHING
    ]  # others were quicker
    told = [OUTCOMES.match(result) for result in results]
    counts = job.counts()
    assert 0 < counts.failed < 130
    assert sum(int(one["failed"] or 0) for one in told) == counts.failed, results
    assert sum(int(one["ended"]) for one in told) == 130
    assert {one["why"] for one in told} <= {"invalid_request_error", None}
    attempts = job.attempts()
    assert sum(figure(one, "retried") for one in results) == len(attempts) - 130 > 0
    assert sum(figure(one, "tokens") for one in results) == counts.input_tokens + counts.output_tokens
    assert all(re.search(r" tokens · \$0\.\d+$", one) for one in results), results

    # And each begins with its job and records, and has the id within eighty characters
    assert {task["args"] for task in slices(seen, job)} == {
        f"reviews of the year… · 1–130 of 130 · {job.uid} · slice {number}/3" for number in (1, 2, 3)
    }
    assert all(str(job.uid) in task["args"][:80] and task["sent"] for task in slices(seen, job))
    [end] = [one for one in seen.tasks(taskname="penstock.close_window") if str(job.uid) in one["args"]]
    assert end["result"] == "completed"
    assert all(re.match(r"job 0\w{7}-", one["args"]) for one in seen.tasks(taskname="penstock.advance"))


def test_a_delivery_that_is_tried_again_is_a_task_that_is_retried(stack, seen, receiver):
    # Given a receiver that is busy
    receiver.status = 503

    # When a job has ended
    job = stack.prompts(1, options=Options(webhook_url=receiver.url)).wait_for("completed")
    receiver.wait_for(1)
    wait_until(lambda: deliveries(seen, receiver)["RETRY"], what="Flower has seen the first attempt")
    receiver.status = 204
    receiver.wait_for(2)

    # Then its delivery, and no other task of it, went from one attempt to the next
    wait_until(lambda: deliveries(seen, receiver)["SUCCESS"], what="Flower has seen the second attempt")
    [delivery] = of(seen, receiver)
    assert delivery["args"].startswith(f"job.completed → {receiver.url.split('/')[2]} · evt_")
    assert (delivery["result"], delivery["retries"]) == ("204 at attempt 2", 1)
    assert job.counts().succeeded == 1


def of(seen: Flower, receiver: Receiver) -> list[dict[str, Any]]:
    host = receiver.url.split("/")[2]
    return [one for one in seen.tasks(taskname="penstock.delivery") if host in one["args"]]


def deliveries(seen: Flower, receiver: Receiver) -> Counter[str]:
    return Counter(one["state"] for one in of(seen, receiver))


def test_its_list_has_work_and_nothing_that_comes_every_few_seconds(stack, seen, sweeps):
    # Given a sweep that beat has asked for meanwhile
    wait_until(lambda: swept() not in sweeps, what="a sweep")

    # When a job runs after them
    job = stack.prompts(1).wait_for("completed")
    wait_until(lambda: len(slices(seen, job)) == 1, what="Flower has seen the slice")

    # Then it has not heard of the sweeps, from beat or from the worker
    assert {task["name"] for task in seen.tasks()} <= {
        "penstock.slice", "penstock.close_window", "penstock.advance", "penstock.delivery",
    }  # fmt: skip
    assert len(seen.get("/api/workers")) == 3


def swept() -> Any:
    with reading() as session:
        return session.scalar(select(Sweep.swept_at))


def test_it_wants_its_password_and_even_with_it_changes_nothing(seen):
    [worker, *_] = seen.get("/api/workers")

    # Given nobody's password, and a wrong one
    wrong = {"Authorization": "Basic b3BlcmF0b3I6eA=="}
    for path in ("/", "/tasks", "/api/workers", "/api/tasks"):
        assert (seen.status(path), seen.status(path, headers=wrong)) == (401, 401), path

    # Then whoever knows it may look, and stops no worker and starts no task
    assert seen.status("/tasks", headers=seen.headers) == 200
    for path in (f"{SHUTDOWN}{worker}", "/api/task/async-apply/penstock.sweep"):
        assert seen.status(path, "POST", seen.headers) == 403, path


def test_without_a_password_it_does_not_listen_to_other_machines(redis_url):
    open_to_all = {"REDIS_URL": redis_url, "FLOWER_ADDRESS": "0.0.0.0", "FLOWER_BASIC_AUTH": ""}

    assert refusal(**open_to_all) == (
        "penstock: Flower without a password listens on this machine alone, not on 0.0.0.0: set"
        " FLOWER_BASIC_AUTH=user:password in its environment"
    )
    assert "give it as user:password" in refusal(**open_to_all | {"FLOWER_BASIC_AUTH": "user:pass,word"})
    assert "a file that can be read" in refusal(**open_to_all | {"FLOWER_BASIC_AUTH_FILE": "/none"})
