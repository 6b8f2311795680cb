"""The streams of regions: what goes on is not told to be over, and who finds no seat sees it, too."""

from collections.abc import Iterator

import pytest

from app.core.reading.feed import feed
from app.dashboard import live
from tasks import advance
from tests.support.browser_client import Browser
from tests.support.front_door import Door, Worker, number_of

pytestmark = pytest.mark.one_database
END = b"event: end\n"


@pytest.fixture
def door(environment) -> Door:
    return Door()


@pytest.fixture
def browser(door) -> Browser:
    return Browser(door)


def opened(browser: Browser, path: str) -> Iterator[bytes]:
    """The stream of what somebody looks at, who has seen its first region."""
    events = browser.client.get(path, buffered=False).iter_encoded()
    assert b"data: <" in next(events)
    return events


@pytest.fixture
def stopping() -> Iterator[None]:
    yield
    feed()._stopping = False


@pytest.mark.parametrize(
    "path", ["/ui/jobs/live", *(f"/ui/jobs/{{job}}{view}/live" for view in ("", "/slow"))]
)
def test_a_stream_that_is_cut_because_its_process_ends_is_not_over(door, browser, stopping, path):
    job = door.submit(3)
    events = opened(browser, path.format(job=job["id"]))

    feed().stop()

    assert END not in b"".join(events)


def test_the_more_streams_are_open_the_slower_each_is(door):
    seats = door.app.extensions["seats"]
    with door.app.app_context():
        assert live.pace(0.25) == 0.25
        for stranger in range(-20, 0):
            seats.take(stranger)
        assert (live.pace(0.25), live.pace(5.0)) == (3.0, 5.0)


def test_who_finds_no_seat_sees_what_is_new_every_few_seconds(door, browser):
    # Given a process whose seats are taken, each by another tenant
    job, seats = door.submit(1), door.app.extensions["seats"]
    for stranger in range(-seats.count, 0):
        assert seats.take(stranger)

    # When the job is looked at, then each time it is as it stands, and asked for again
    path = f"/ui/jobs/{job['id']}/live"
    first = browser.get(path)
    assert (first.status_code, first.mimetype) == (200, "text/event-stream")
    assert first.data.startswith(b"retry: 10000\ndata: ")
    assert b"0 of 1 record" in first.data
    assert END not in first.data

    # And when it has ended, it is over
    Worker().end(job, [0])
    advance.run(number_of(job))
    last = browser.get(path).data
    assert b"1 of 1 record" in last
    assert END in last
