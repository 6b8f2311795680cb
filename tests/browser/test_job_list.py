"""The list of jobs in a browser: it is live without losing one's place, and acts on many jobs at once."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Site
from tests.support import sight
from tests.support.front_door import JOBS, Door
from tests.support.pages import sign_in
from tests.support.servers import wait_until

SLOW = {"simulate": {"latency_ms": 600_000}}  # no answer while a test lasts
FAILS_ONCE = {"simulate": {"error": "invalid_request", "times": 1}}


@pytest.fixture
def door(site: Site) -> Door:
    return site.newcomer()


@pytest.fixture
def page(page: Page, door: Door) -> Page:
    sign_in(page, door.key)
    return page


def test_a_newcomer_is_told_what_to_do_first_and_sees_her_first_job_come(page: Page, door: Door) -> None:
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    expect(page.get_by_role("button", name="Delete…")).to_be_hidden()
    sight.assert_good(page)
    sight.shoot(page, "no-jobs")

    door.submit(1, name="first", params=SLOW)

    expect(row_of(page, "first")).to_be_visible()
    expect(page.get_by_role("button", name="Delete…")).to_be_visible()


def test_a_row_that_changes_keeps_its_tick_and_its_focus(page: Page, door: Door) -> None:
    # Given a list of two jobs that run, one of them ticked by keyboard and its link focused
    first, second = door.submit(3, name="first", params=SLOW), door.submit(3, name="second", params=SLOW)
    page.goto("/ui/jobs")
    row = row_of(page, "first")
    row.get_by_role("checkbox").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    expect(row.get_by_role("link")).to_be_focused()

    # When both change elsewhere, and a third is submitted
    door.post(f"{JOBS}/{first['id']}/pause")
    door.post(f"{JOBS}/{second['id']}/cancel")
    door.submit(3, name="third", params=SLOW)

    # Then all of it is shown without a reload, and she is where she was
    expect(row).to_contain_text("paused")
    expect(row_of(page, "second")).to_contain_text("cancelled")
    expect(row_of(page, "third")).to_be_visible()
    expect(page.get_by_role("link", name="Paused 1")).to_be_visible()
    expect(row.get_by_role("checkbox")).to_be_checked()
    expect(row.get_by_role("link")).to_be_focused()
    sight.assert_good(page)
    sight.shoot(page, "jobs")


def test_a_search_is_answered_while_it_is_typed_and_its_list_is_live(page: Page, door: Door) -> None:
    # Given two jobs
    door.submit(1, name="Bewertungen Köln", params=SLOW)
    found = door.submit(1, name="مراجعات العملاء", params=SLOW)
    page.goto("/ui/jobs")

    # When one is searched
    page.get_by_role("searchbox").press_sequentially("العملاء")

    # Then it alone is there, the address says so, the keyboard is still in the search, and it is live
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page).to_have_url("/ui/jobs?q=%D8%A7%D9%84%D8%B9%D9%85%D9%84%D8%A7%D8%A1")
    expect(page.get_by_role("searchbox")).to_be_focused()
    door.post(f"{JOBS}/{found['id']}/pause")
    expect(page.locator("tbody tr")).to_contain_text("paused")

    # And what finds nothing says so
    page.get_by_role("searchbox").fill("nothing")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()


def test_many_jobs_are_cancelled_retried_and_deleted_after_saying_which(page: Page, door: Door) -> None:
    # Given two jobs that run, and one whose records failed
    for name in ("slow one", "slow two"):
        door.submit(4, name=name, params=SLOW)
    failed = door.submit(2, name="failed", params=FAILS_ONCE)
    wait_until(lambda: door.job(failed)["status"] == "completed", what="the job has ended")

    # When, by keyboard, all that match are to be cancelled, then she sees which, and it is done
    page.goto("/ui/jobs?q=slow")
    page.get_by_role("checkbox", name="All 2 that match").press("Space")
    page.get_by_role("button", name="Cancel…").press("Enter")
    expect(page.get_by_role("heading", name="Cancel 2 jobs?")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="slow")).to_have_count(2)
    sight.assert_good(page)
    sight.shoot(page, "cancel-jobs")
    page.get_by_role("button", name="Cancel 2 jobs").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("2 jobs were cancelled.")
    expect(page.locator("tbody tr").filter(has_text="cancelled")).to_have_count(2)

    # When what failed is to be retried among all, then the others are left out, and it succeeds
    page.goto("/ui/jobs")
    page.get_by_role("checkbox", name="All 3 that match").check()
    page.get_by_role("button", name="Retry what failed…").click()
    expect(page.get_by_role("heading", name="Retry 1 job?")).to_be_visible()
    expect(page.get_by_text("2 jobs: no record failed or expired")).to_be_visible()
    page.get_by_role("button", name="Retry 1 job").click()
    expect(page.get_by_role("status")).to_contain_text("1 job was started again.")
    expect(row_of(page, "failed")).to_contain_text("completed")
    expect(row_of(page, "failed")).not_to_contain_text("2 failed")

    # When two that are ticked are to be deleted, then these go, and the third stays
    for name in ("slow one", "failed"):
        row_of(page, name).get_by_role("checkbox").check()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete 2 jobs").click()
    expect(page.get_by_role("status")).to_contain_text("2 jobs were deleted.")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(row_of(page, "slow two")).to_be_visible()


def row_of(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))
