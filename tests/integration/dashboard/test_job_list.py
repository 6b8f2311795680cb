"""The list of jobs as people see it: filters, search, live rows, and one action on many jobs."""

import html
import re
from collections.abc import Iterator

import pytest

from app.core.reading.job_list import listing, watch
from app.dashboard.jobs import shown
from tasks import advance
from tests.support.browser_client import Browser
from tests.support.front_door import JOBS, Door, Worker, number_of
from tests.support.stack import redis_away

pytestmark = pytest.mark.one_database
LIST = "/ui/jobs"


@pytest.fixture
def door(environment) -> Iterator[Door]:
    """Nobody starts what it submits."""
    with redis_away():
        yield Door()


@pytest.fixture
def browser(door) -> Browser:
    return Browser(door)


def test_a_list_without_jobs_says_what_to_do_first(door, browser):
    assert 'href="/ui/new">New job' in browser.see(LIST)

    reader = Browser(door.colleague("reader", scopes=["jobs:read"]))
    assert "/ui/new" not in reader.see(LIST)


def test_jobs_are_found_by_filter_search_and_page_and_the_address_keeps_it(door, browser, monkeypatch):
    # Given more jobs than a page has, one of them paused, and one of another tenant
    monkeypatch.setattr(shown, "PAGE", 2)
    monkeypatch.setattr("app.dashboard.jobs.listing.PAGE", 2)
    first = door.submit(1, name="<b>Köln</b>")
    door.post(f"{JOBS}/{first['id']}/pause")
    for number in range(3):
        door.submit(1, name=f"مراجعات {number}")
    door.other().submit(1, name="somebody else's")

    # When the list is read page by page
    page = browser.see(LIST)
    older = html.unescape(re.search(r'rel="next" href="([^"]+)"', page)[1])

    # Then it has all of them, escaped, with counts
    assert names(page) == ["مراجعات 2", "مراجعات 1"]
    assert names(browser.see(older)) == ["مراجعات 0", "<b>Köln</b>"]
    assert "<b>Köln" not in page + browser.see(older)
    assert pills(page) == {"All": 4, "Waiting": 3, "Running": 0, "Paused": 1}

    # And a filter and a search are in the address
    assert names(browser.see(f"{LIST}?status=paused")) == ["<b>Köln</b>"]
    found = browser.see(f"{LIST}?q=KÖLN")
    assert names(found) == ["<b>Köln</b>"]
    assert pills(found) == {"All": 1, "Running": 0, "Paused": 1}
    assert 'value="KÖLN"' in found

    # And what finds nothing, or is no filter, says so
    assert "Nothing found" in browser.see(f"{LIST}?q=nothing")
    assert "No job is in this list" in browser.see(f"{LIST}?status=failed")
    refused = browser.get(f"{LIST}?status=odd")
    assert (refused.status_code, "choose one of" in refused.text) == (422, True)
    assert browser.get(f"{LIST}?cursor=odd").status_code == 422


def test_a_search_that_has_not_seen_all_can_go_on(door, browser, monkeypatch):
    monkeypatch.setattr(listing, "SPAN", 1)
    door.submit(1, name="oldest")
    door.submit(1, name="newest")

    page = browser.see(f"{LIST}?q=oldest")
    assert "Search older jobs" in page
    older = html.unescape(re.search(r'href="([^"]+)">Search older', page)[1])
    assert names(browser.see(older)) == ["oldest"]


def test_an_action_on_many_jobs_says_what_it_will_touch_and_then_does_that(door, browser):
    # Given a waiting job, one that has ended, and one of another tenant
    waiting, over = door.submit(3, name="waiting"), door.submit(1, name="over")
    others = door.other().submit(1)
    end(over)

    # When all three are chosen to be cancelled
    browser.see(LIST)
    chosen = {"action": "cancel", "job": [job["id"] for job in (waiting, over, others)], "q": "w"}
    plan = browser.post(f"{LIST}/plan", chosen)

    # Then the page says what that means, and nothing has happened
    assert "<h1>Cancel 1 job?</h1>" in plan.text
    assert "1 job: ended already" in plan.text
    assert "1 job: not there any more" in plan.text
    assert door.job(waiting)["status"] == "pending"

    # And when it is confirmed, the list is back as it was, with what was done
    page = browser.follow(browser.post(f"{LIST}/act", hidden(plan.text)))
    assert "1 job was cancelled." in page
    assert 'value="w"' in page
    assert door.job(waiting)["status"] == "cancelled"


def test_all_that_match_are_deleted_but_for_what_changed_meanwhile(door, browser):
    # Given ended jobs of a name, and one of another
    jobs = [door.submit(1, name=f"old {number}") for number in range(3)]
    kept = door.submit(1, name="new")
    for job in (*jobs, kept):
        end(job, failed=True)

    # When all that match are to be deleted, and one of them is retried before it is confirmed
    browser.see(LIST)
    plan = browser.post(f"{LIST}/plan", {"action": "delete", "all": "yes", "q": "old"})
    assert "<h1>Delete 3 jobs?</h1>" in plan.text
    assert door.post(f"{JOBS}/{jobs[0]['id']}/retry").status_code == 200
    page = browser.follow(browser.post(f"{LIST}/act", hidden(plan.text)))

    # Then that one is left and told
    assert "2 jobs were deleted. 1 other was left as it was" in page
    assert "The job is running" in page
    assert names(browser.see(LIST)) == ["new", "old 0"]


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "burn"},
        {"action": "cancel", "jobs": "x"},
        {"action": "cancel", "jobs": ""},
        {"action": "cancel", "jobs": "", "at": "x"},
        {"action": "cancel", "jobs": "", "at": "0001-01-01T00:00:00+23:59"},
    ],
)
def test_a_form_that_was_not_ours_is_refused(browser, fields):
    browser.see(LIST)
    assert browser.post(f"{LIST}/act", fields).status_code == 422


def test_who_may_only_read_sees_no_form_and_is_refused(door):
    job = door.submit(1, name="mine")
    reader = Browser(door.colleague("reader", scopes=["jobs:read"]))

    page = reader.see(LIST)
    assert names(page) == ["mine"]
    assert 'type="checkbox"' not in page
    assert 'name="action"' not in page
    for path in ("plan", "act"):
        refused = reader.post(f"{LIST}/{path}", {"action": "cancel", "job": job["id"]})
        assert refused.status_code == 403


def test_a_list_is_live_and_sends_only_what_has_changed(door, browser, monkeypatch):
    # Given somebody who looks at a list
    monkeypatch.setattr(watch, "LOOK", 0.05)
    monkeypatch.setattr(watch, "AGAIN", 0.5)
    job, other = door.submit(2, name="mine"), door.submit(1, name="other")
    stream = browser.client.get(f"{LIST}/live", buffered=False)
    events = iter(stream.iter_encoded())
    first = next_message(events)
    assert 'hx-target="#jobs"' in first
    assert names(first) == ["other", "mine"]

    # When a record of one job ends, only its row comes
    Worker().end(job, [0])
    row = next_message(events)
    assert f'hx-target="#job-{job["id"]}"' in row
    assert "1 of 2" in row
    assert other["id"] not in row

    # When a job is paused, its row and the counts come
    door.post(f"{JOBS}/{other['id']}/pause")
    paused = next_message(events)
    assert pills(paused)["Paused"] == 1

    # When there is a new job, the list comes as a whole
    door.submit(1, name="new")
    assert names(next_message(events)) == ["new", "other", "mine"]

    stream.close()


def end(job, *, failed: bool = False) -> None:
    Worker().end(job, range(job["total"]), error=("invalid_request", "too long") if failed else None)
    advance.run(number_of(job))


def names(page: str) -> list[str]:
    return [html.unescape(name) for name in re.findall(r'<th scope="row"><a [^>]*>(.*?)</a>', page)]


def pills(page: str) -> dict[str, int]:
    found = re.findall(r'<li><a href="/ui/jobs[^>]*>([\w ]+) <span class="count">(\d+)', page)
    return {name: int(count) for name, count in found}


def hidden(page: str) -> dict[str, str]:
    """The fields of the form that confirms."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))


def next_message(events: Iterator[bytes]) -> str:
    """The data of the next event that has any."""
    text = ""
    for chunk in events:
        text += chunk.decode()
        while "\n\n" in text:
            event, _, text = text.partition("\n\n")
            lines = [line[6:] for line in event.split("\n") if line.startswith("data: ")]
            if lines:
                assert not text.strip(), "one event a chunk"
                return "\n".join(lines)
    raise AssertionError("the stream has ended")
