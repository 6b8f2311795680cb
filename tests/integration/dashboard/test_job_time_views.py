"""Why a job is slow and its course, as pages: with their figures, live, and for its own tenant alone."""

import re
from functools import partial

import pytest

from app.core.pipeline import lifecycle, scheduler
from models.session import in_transaction
from tasks import sweep, watch
from tests.support.browser_client import Browser
from tests.support.front_door import Door, Worker, number_of
from tests.support.stack import redis_away

pytestmark = [pytest.mark.usefixtures("environment"), pytest.mark.one_database]
NAME = "<b>تقارير</b>"


@pytest.fixture
def door() -> Door:
    return Door()


def submit(door: Door, **fields):
    with redis_away():
        return door.submit(3, name=NAME, **fields)


def advance(job) -> None:
    in_transaction(partial(scheduler.advance, job_id=number_of(job), held_for=0))


def test_a_job_under_way_says_what_holds_it_and_where_its_time_went(door):
    # Given a job of which one record has ended, and which is paused
    job, worker, browser = submit(door), Worker(), Browser(door)
    advance(job)
    worker.end(job, [0])
    watch.look()
    assert door.post(f"/api/v1/jobs/{job['id']}/pause").status_code == 200

    # When its pages are opened
    slow = browser.see(f"/ui/jobs/{job['id']}/slow")
    course = browser.see(f"/ui/jobs/{job['id']}/course")

    # Then the one says why, and the other has its records and its cost
    assert "Paused by its owner." in slow
    assert 'id="state-paused"' in slow
    assert "Together" in slow
    assert "&lt;b&gt;تقارير&lt;/b&gt;" in slow
    assert "data-point=" in course
    # And both are live while it goes on
    assert f'hx-sse:connect="/ui/jobs/{job["id"]}/slow/live"' in slow
    assert f'hx-sse:connect="/ui/jobs/{job["id"]}/course/live"' in course


@pytest.mark.parametrize(("name", "holds"), [("slow", "Where its time went"), ("course", "data-point=")])
def test_a_live_region_ends_with_the_job(door, name, holds):
    # Given a job that is being watched
    job, worker, browser = submit(door), Worker(), Browser(door)
    advance(job)
    worker.end(job, [0, 1, 2])
    stream = iter(browser.client.get(f"/ui/jobs/{job['id']}/{name}/live", buffered=False).response)
    assert holds in next(stream).decode()

    # When it ends
    advance(job)
    sweep.sweep_once()

    # Then its reader gets the region once more, and is told that this was the last one
    *_, last = stream
    region, end = last.decode().split("\n\n", 1)
    assert holds in region
    assert "hx-" not in re.sub("</?hx-partial[^>]*>", "", region)
    assert end == "event: end\ndata: \n\n"
    ended = browser.see(f"/ui/jobs/{job['id']}/{name}")
    assert "hx-sse:connect" not in ended
    assert "What limits it now" not in ended


def test_nobody_sees_the_time_of_another_tenants_job(door):
    job = submit(door)
    stranger = Browser(door.other())
    for view in ("slow", "course", "slow/live", "course/live"):
        assert stranger.get(f"/ui/jobs/{job['id']}/{view}").status_code == 404


def test_a_job_without_a_course_says_why(door):
    # Given a job that was cancelled before it began
    job, browser = submit(door), Browser(door)
    in_transaction(lambda s: lifecycle.cancel(s, lifecycle.find(s, door.tenant_id, job["id"])))

    # Then there is nothing to draw, and its time is known all the same
    assert "No course" in browser.see(f"/ui/jobs/{job['id']}/course")
    assert 'id="state-queue"' in browser.see(f"/ui/jobs/{job['id']}/slow")
