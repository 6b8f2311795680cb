"""The frame of every page: by keyboard alone, on a telephone, for everybody."""

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Site
from tests.support import sight
from tests.support.pages import sign_in

# What has the focus: its name, and whether one sees that it has it.
FOCUSED = """() => {
    const it = document.activeElement, style = getComputedStyle(it);
    return [it.innerText.trim(), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];
}"""


def test_signing_in_is_good_to_look_at(page: Page) -> None:
    page.goto("/ui/sign-in")
    sight.assert_good(page)
    sight.shoot(page, "sign-in")


def test_what_is_not_there_is_a_page_that_says_so(page: Page, site: Site) -> None:
    sign_in(page, site.newcomer().key)
    assert page.goto("/ui/nowhere").status == 404
    expect(page.get_by_role("alert")).to_contain_text("/ui/nowhere")
    sight.assert_good(page)
    sight.shoot(page, "error")


def test_the_first_tab_skips_to_the_content(page: Page, site: Site) -> None:
    sign_in(page, site.newcomer().key)
    page.goto("/ui")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).not_to_be_in_viewport()
    page.keyboard.press("Tab")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport(ratio=1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_the_header_is_walked_in_its_order_and_one_sees_where(page: Page, site: Site) -> None:
    door = site.newcomer()
    sign_in(page, door.key)
    page.goto("/ui")
    tenant = door.get("/api/v1/me").get_json()["tenant"]
    places = page.get_by_role("navigation", name="Main").get_by_role("link").all_inner_texts()

    walked = []
    for _ in ("skip", "brand", *places, tenant):
        page.keyboard.press("Tab")
        walked.append(page.evaluate(FOCUSED))

    assert [name for name, _ in walked] == ["Skip to the content", "Penstock", *places, tenant]
    assert [name for name, is_seen in walked if not is_seen] == []


def test_the_menu_opens_and_closes_by_keyboard(page: Page, site: Site) -> None:
    sign_in(page, site.newcomer().key)
    summary, button = (
        page.get_by_role("banner").locator("summary"),
        page.get_by_role("button", name="Sign out"),
    )
    summary.focus()
    page.keyboard.press("Enter")
    expect(button).to_be_visible()
    sight.assert_good(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(button).to_be_hidden()
    expect(summary).to_be_focused()


def test_scripts_that_arrive_late_are_there_before_htmx_begins(page: Page, site: Site) -> None:
    """Otherwise a region would not be live, and an element without the page's nonce would be obeyed."""
    # Given a network that brings htmx, but not yet what belongs to it
    door = site.newcomer()
    door.submit(1)
    sign_in(page, door.key)
    held: list[Route] = []
    page.route("**/hx-*.js", lambda route: held.insert(0, route))
    with page.expect_request("**/hx-sse*"), page.expect_request("**/hx-csp*"):
        page.goto("/ui/jobs", wait_until="commit")
    page.wait_for_function("window.htmx")
    page.evaluate("new Promise(done => setTimeout(done))")  # what htmx has put off until now

    # When the rest arrives, then the page is as it is with a fast one
    with page.expect_request("**/ui/jobs/live*"):
        for route in held:
            route.continue_()


def test_a_region_whose_stream_is_refused_stays_as_it_is_until_it_is_not(page: Page, site: Site) -> None:
    # Given a list whose stream is refused once
    door = site.newcomer()
    job = door.submit(1, name="Stays")
    page.context.clock.install()
    sign_in(page, door.key)
    refused = f"{site.web.url}/ui/jobs/nowhere/live"
    page.route("**/ui/jobs/live*", lambda route: route.continue_(url=refused), times=1)
    with page.expect_response(lambda response: response.status == 404):
        page.goto("/ui/jobs")

    # Then no refusal takes its place, and it is asked for again
    with page.expect_response(lambda response: response.url.endswith("/ui/jobs/live") and response.ok):
        page.context.clock.fast_forward(4_000)
    expect(page.get_by_role("link", name=job["name"])).to_be_visible()
    expect(page.get_by_text("nowhere")).to_have_count(0)
