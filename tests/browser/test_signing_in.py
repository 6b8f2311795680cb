"""Who may see the page, as browsers have it: keys, links, tabs, other people's pages."""

from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.core.accounts import browser_sessions
from models.session import in_transaction
from tests.browser.conftest import Site
from tests.support.front_door import Door
from tests.support.other_sites import behind_tls, planted
from tests.support.pages import Pages, sign_in
from tests.support.tls import Authority
from tests.support.web_process import web_process


def assert_signed_in(page: Page, door: Door) -> None:
    expect(page.get_by_role("banner")).to_contain_text(door.get("/api/v1/me").get_json()["tenant"])


def assert_signed_out(page: Page) -> None:
    """Whatever is asked for leads to the form."""
    page.goto("/ui")
    expect(page.get_by_label("API key")).to_be_focused()


def test_the_address_alone_leads_by_a_key_to_the_page(page: Page, site: Site) -> None:
    # Given somebody who knows the address and has a key
    door = site.newcomer()
    page.goto("/")
    expect(page.get_by_label("API key")).to_be_focused()

    # When she types a wrong one, she is told so; the right one lets her in
    page.keyboard.type("pk_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("API key")).to_have_value("")
    page.get_by_label("API key").fill(door.key)
    page.keyboard.press("Enter")
    assert_signed_in(page, door)

    # Then no script and no page of another site gets at what the browser keeps
    [cookie] = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    assert cookie["path"] == "/ui"
    assert page.evaluate("document.cookie") == ""
    assert door.key not in str(cookie)


def test_the_printed_link_signs_one_browser_in(pages: Pages, site: Site) -> None:
    door = site.newcomer()
    token = in_transaction(partial(browser_sessions.invite, prefix=door.prefix))
    first, second = pages(), pages()

    first.goto(f"/ui/enter?token={token}")
    second.goto(f"/ui/enter?token={token}")

    assert_signed_in(first, door)
    assert str(token) not in first.url
    expect(second.get_by_role("alert")).to_contain_text("used already")
    assert_signed_out(second)


def test_signing_out_is_for_all_tabs(pages: Pages, site: Site) -> None:
    # Given two tabs, of which one shows what moves, and another browser with a copy of the cookie
    door, page, thief = site.newcomer(), pages(), pages()
    door.submit(1)
    sign_in(page, door.key)
    live = page.context.new_page()
    with live.expect_response("**/ui/jobs/live*"):
        live.goto("/ui/jobs")
    thief.context.add_cookies(page.context.cookies())
    thief.goto("/ui/keys")
    assert_signed_in(thief, door)

    # When she signs out in the other tab
    pages.pardon("htmx:sse:error")
    page.get_by_role("banner").locator("summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()

    # Then all of them are out: what is live within seconds, by itself
    expect(live.get_by_label("API key")).to_be_visible()
    assert live.url.endswith("?next=%2Fui%2Fjobs")
    assert_signed_out(thief)
    page.go_back()  # nor is what was on the screen kept
    expect(page.get_by_label("API key")).to_be_visible()


def test_two_tenants_in_two_browsers_see_their_own(pages: Pages, site: Site) -> None:
    doors, opened = [site.newcomer(), site.newcomer()], [pages(), pages()]
    jobs = [door.submit(1, name=f"Of {door.prefix}") for door in doors]
    for page, door in zip(opened, doors, strict=True):
        sign_in(page, door.key)
    for page, door, job in zip(opened, doors, jobs, strict=True):
        page.goto("/ui/jobs")
        expect(page.get_by_role("link", name=job["name"])).to_be_visible()
        assert_signed_in(page, door)
        assert page.get_by_role("row").count() == 1 + 1  # the header's
    for page, job in zip(opened, reversed(jobs), strict=True):
        assert page.goto(f"/ui/jobs/{job['id']}").status == 404
        expect(page.get_by_role("alert")).to_contain_text(job["id"])


@pytest.mark.parametrize(
    ("host", "refusal"),
    [("127.0.0.1", "form comes from another page"), ("localhost", "nothing was done")],
    ids=["of the same site", "of another site"],  # which the cookie is not sent from
)
def test_a_form_on_another_page_changes_nothing(pages: Pages, site: Site, host: str, refusal: str) -> None:
    # Given somebody who is signed in, and another page with a form for ours
    door, page = site.newcomer(), pages()
    sign_in(page, door.key)
    form = f"<form method=post action={site.web.url}/ui/sign-out><button>Win a prize</button></form>"

    # When she presses its button
    with planted(form) as origin:
        elsewhere = origin.replace("127.0.0.1", host)
        pages.origins.add(elsewhere)
        lured = page.context.new_page()
        lured.goto(elsewhere)
        lured.get_by_role("button").click()
        expect(lured.locator("main")).to_contain_text(refusal)

    # Then she is still signed in
    page.reload()
    assert_signed_in(page, door)


def test_no_page_shows_ours_within_itself(pages: Pages, site: Site) -> None:
    with planted(f"<iframe title=ours src={site.web.url}/ui/sign-in></iframe>", policy="") as origin:
        pages.origins.add(origin)
        page = pages()
        with pages.expecting("frame-ancestors 'none'"):
            page.goto(origin)
            page.wait_for_load_state()


def test_what_somebody_wrote_is_no_element_that_htmx_obeys(pages: Pages, site: Site) -> None:
    page = pages()
    sign_in(page, site.newcomer().key)
    page.wait_for_load_state()  # its scripts run after the page is shown
    with pages.expecting("[hx-csp] blocked <button>"):
        page.locator("main").evaluate(
            "main => { main.innerHTML = '<button hx-get=/ui/keys>Press</button>'; htmx.process(main) }"
        )
        assert page.get_by_role("button", name="Press").get_attribute("hx-get") is None


def test_pages_load_nothing_but_their_own_files(page: Page) -> None:
    policies = [page.goto("/ui/sign-in").header_value("content-security-policy") for _ in range(2)]
    parts = [dict(part.strip().split(" ", 1) for part in policy.split(";")) for policy in policies]
    nonces = [directives["script-src"].partition(" ")[2] for directives in parts]

    assert nonces[0] != nonces[1]
    for directives, nonce in zip(parts, nonces, strict=True):
        assert directives["default-src"] == "'self'"
        assert {word for sources in directives.values() for word in sources.split()} == {
            "'self'",
            "'none'",
            nonce,
        }


def test_without_scripts_one_signs_in_and_out(pages: Pages, site: Site) -> None:
    door, page = site.newcomer(), pages(java_script_enabled=False)
    sign_in(page, door.key)
    assert_signed_in(page, door)
    page.get_by_role("banner").locator("summary").click()
    page.get_by_role("button", name="Sign out").click()
    assert_signed_out(page)


@pytest.mark.long  # a web process more; tests/integration/dashboard asks Flask for the same over https
def test_behind_tls_the_cookie_never_travels_in_the_clear(pages: Pages, site: Site, tmp_path: Path) -> None:
    trusting = {"TRUSTED_PROXIES": "127.0.0.1/32"}
    with (
        web_process(trusting, tmp_path) as web,
        behind_tls(web.port, Authority(tmp_path).context()) as origin,
    ):
        pages.origins.add(origin)
        door, page = site.newcomer(), pages(base_url=origin, ignore_https_errors=True)
        sign_in(page, door.key)
        assert_signed_in(page, door)
        [cookie] = page.context.cookies()
        assert cookie["secure"]
