"""Whatever is done to a job, through whichever door, workers and readers hear of it at once."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from app.core.pipeline.notifications import Listener
from config import settings
from tasks import advance
from tests.support.front_door import JOBS, Door, Worker, number_of

pytestmark = pytest.mark.one_database

Job = dict[str, Any]


@pytest.fixture
def door(environment) -> Door:
    return Door()


@pytest.fixture
def heard(environment) -> Iterator["Heard"]:
    made = Heard()
    yield made
    made.close()


class Heard:
    """What workers are sent, and readers told, from now on."""

    def __init__(self) -> None:
        self._broker = redis.Redis.from_url(settings.current().broker_url)
        self._listener = Listener(settings.current().limiter_url)

    def listen(self) -> None:
        self._broker.delete("control")
        self._listener.listen(1)  # subscribes

    def woken(self) -> list[str]:
        """How each message shows the job at which a control worker is asked to look."""
        headers = [json.loads(message)["headers"] for message in self._broker.lrange("control", 0, -1)]
        return [header["argsrepr"] for header in headers if header["task"] == "penstock.advance"]

    def told(self) -> set[int]:
        return self._listener.listen(5)

    def close(self) -> None:
        self._listener.close()
        self._broker.close()


def as_it_is(door: Door, job: Job) -> None:
    pass


def paused(door: Door, job: Job) -> None:
    door.post(f"{JOBS}/{job['id']}/pause")


def cancelled(door: Door, job: Job) -> None:
    door.post(f"{JOBS}/{job['id']}/cancel")


def failed(door: Door, job: Job) -> None:
    Worker().end(job, [0], error=("invalid_request", "too long"))
    advance.run(number_of(job))


@pytest.mark.parametrize(
    ("before", "method", "path"),
    [
        (as_it_is, "PATCH", "/api/v1/jobs/{id}"),
        (as_it_is, "POST", "/api/v1/jobs/{id}/cancel"),
        (as_it_is, "POST", "/api/v1/jobs/{id}/pause"),
        (paused, "POST", "/api/v1/jobs/{id}/resume"),
        (failed, "POST", "/api/v1/jobs/{id}/retry"),
        (cancelled, "DELETE", "/api/v1/jobs/{id}"),
        (as_it_is, "DELETE", "/api/v1/batch/jobs/{id}"),
        (as_it_is, "DELETE", "/api/batch-processor/cancel/{id}"),
        (as_it_is, "POST", "/api/batch/cancel?batchId={id}"),
    ],
)
def test_an_action_wakes_the_job_and_tells_its_readers(
    door: Door, heard: Heard, before: Callable[[Door, Job], None], method: str, path: str
) -> None:
    # Given a job to which that may be done
    job = door.submit(1)
    number = number_of(job)
    before(door, job)
    heard.listen()

    # When it is
    body = {"json": {"name": "renamed"}} if method == "PATCH" else {}
    response = door.call(method, path.format(id=job["id"]), **body)
    assert response.status_code in (200, 204), response.text

    # Then a worker is asked to look at the job, and those who watch it are told
    assert [shown.split()[-1] for shown in heard.woken()] == [job["id"]]
    assert number in heard.told()


def test_an_action_that_is_refused_wakes_nobody(door: Door, heard: Heard) -> None:
    # Given a job that has ended
    job = door.submit(1)
    cancelled(door, job)
    heard.listen()

    # When it is to be paused
    response = door.post(f"{JOBS}/{job['id']}/pause")

    # Then the refusal names the job, and no worker hears of it
    assert response.status_code == 409
    assert response.headers["Penstock-Job"] == job["id"]
    assert heard.woken() == []
