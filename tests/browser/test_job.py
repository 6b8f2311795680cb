"""One job in a browser: what arrives while somebody looks, what holds it, and what a killed worker leaves."""

import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.support import sight
from tests.support.front_door import Door
from tests.support.pages import sign_in

HAIKU, OPUS = "claude-haiku-4-5", "claude-opus-4-1"  # of different limit groups
LONG = 60_000  # milliseconds until a dead worker's records are given back and answered


def rows(count: int) -> list[dict[str, Any]]:
    return [{"custom_id": f"row-{number}", "prompt": f"How good is pot {number}?"} for number in range(count)]


def signed_in(page: Page, site: Site) -> Door:
    door = site.newcomer()
    sign_in(page, door.key)
    return door


def state(page: Page) -> Any:
    return page.get_by_role("region", name="State")


def test_answers_arrive_while_somebody_reads(page: Page, site: Site) -> None:
    # Given a job whose answers take a while, and somebody who looks at its records
    door = signed_in(page, site)
    site.service.upstream.configure(latency_ms=1_500, latency_sigma=0.7)
    job = door.submit(rows(80), model=HAIKU, name="Pots of spring")
    page.goto(f"/ui/jobs/{job['id']}/records")
    link = page.get_by_role("rowheader", name=re.compile("row-3$")).get_by_role("link")
    link.focus()

    # When the answers arrive, then the row is filled and keeps the focus, with no reload
    page.evaluate("window.sameDocument = true")
    row = page.get_by_role("row").filter(has=page.get_by_text("row-3", exact=True))
    expect(row).to_contain_text("succeeded")
    expect(link).to_be_focused()
    assert page.evaluate("window.sameDocument")

    # And typing finds a record by what it asked
    page.get_by_label("Search in prompts and answers").fill("POT 77")
    expect(page.locator("mark").first).to_have_text("pot 77")
    expect(page).to_have_url(re.compile("q=POT"))

    # And the summary goes on to the end, and offers what comes then
    page.goto(f"/ui/jobs/{job['id']}")
    expect(state(page)).to_contain_text("80 of 80 records, 100 %")
    expect(state(page)).to_contain_text("completed")
    page.get_by_text("Download", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "Pots of spring.results.csv"


def test_a_held_account_says_who_holds_it_and_what_to_mend(page: Page, site: Site) -> None:
    door = signed_in(page, site)
    refusal = {"kind": "status", "status": 401, "message": "invalid x-api-key"}
    site.service.upstream.configure(faults=[refusal])
    job = door.submit(rows(5), model=OPUS)

    page.goto(f"/ui/jobs/{job['id']}")

    held = page.locator("#job-held")
    expect(held).to_contain_text("invalid x-api-key")
    expect(held).to_contain_text("ANTHROPIC_API_KEY")
    sight.assert_good(page)
    sight.shoot(page, "job-held")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_text("5 records wait, and will not be asked.")).to_be_visible()
    page.get_by_role("button", name="Cancel the job").click()
    expect(state(page)).to_contain_text("cancelled")


def test_a_worker_that_is_killed_costs_no_record_and_what_it_may_have_cost_is_told(
    page: Page, site: Site
) -> None:
    # Given a job whose calls are in flight in both workers
    door = signed_in(page, site)
    site.service.upstream.configure(
        latency_ms=12_000
    )  # so that all are in flight before the first is answered
    job = door.submit(rows(60), model=HAIKU)
    page.goto(f"/ui/jobs/{job['id']}")
    expect(state(page)).to_contain_text("60 running")
    site.service.upstream.configure(latency_ms=0)

    # When one of them is killed
    stack = site.service.stack
    stack.nodes[0].kill("SIGKILL")
    stack.start_slices()

    # Then the page goes on by itself to the end, and tells what nobody can confirm
    expect(state(page)).to_contain_text("60 of 60 records, 100 %", timeout=LONG)
    expect(state(page)).to_contain_text(re.compile(r"and up to \$[0-9.]+ unconfirmed"))
    expect(state(page)).to_contain_text("60 succeeded")
    sight.shoot(page, "job-unconfirmed")
