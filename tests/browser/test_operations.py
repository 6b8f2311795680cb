"""Limits, keys and prompts in a browser: what moves by itself, and what is seen once."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.support import sight
from tests.support.pages import Pages, sign_in

FIGURES = ("requests_per_minute", "max_concurrent_calls")


def test_figures_move_by_themselves_and_the_focus_stays(page: Page, site: Site) -> None:
    # Given an operator who looks at the limits, with the focus on one of them
    operator = site.newcomer(["operator", "jobs:read"])
    operator.call("PUT", "/api/v1/limits/simulated", json={"max_concurrent_calls": 1_000})
    sign_in(page, operator.key)
    page.goto("/ui/limits")
    button = page.get_by_role("link", name="Set limits of simulated")
    button.focus()

    # When somebody sets a figure elsewhere
    try:
        operator.call("PUT", "/api/v1/limits/simulated", json={"requests_per_minute": 54_321})

        # Then it is there without a reload, and the focus is where it was
        expect(page.get_by_text("54,321")).to_be_visible()
        expect(button).to_be_focused()
        sight.assert_good(page)
        sight.shoot(page, "limits")
    finally:
        operator.call("PUT", "/api/v1/limits/simulated", json=dict.fromkeys(FIGURES))


def test_a_key_is_made_by_keyboard_copied_and_used_in_another_browser(pages: Pages, site: Site) -> None:
    page, other = pages(), pages()
    sign_in(page, site.newcomer().key)
    page.goto("/ui/keys/new")
    page.get_by_label("Name").press_sequentially("nightly script")
    page.keyboard.press("Enter")

    made = page.get_by_label("The key of nightly script")
    expect(made).to_be_focused()
    sight.assert_good(page)
    with other.expect_response("**/ui/jobs/live*"):
        sign_in(other, made.input_value())
    expect(other.get_by_role("link", name="Keys")).to_have_count(0)

    # When it is revoked, the other browser, which looks at a list, is signed out
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("link", name="Revoke nightly script").click()
    pages.pardon("htmx:sse:error")
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_role("status")).to_contain_text("is revoked")
    expect(other).to_have_url(re.compile("/ui/sign-in"))


def test_a_prompt_is_shown_as_it_will_be_asked_while_it_is_typed(page: Page, site: Site) -> None:
    sign_in(page, site.newcomer().key)
    page.goto("/ui/prompts/chat")
    prompt = page.get_by_label("Prompt", exact=True)
    asked = page.get_by_role("region", name="As it will be asked")

    prompt.fill("In one word: {{ question }}")
    expect(asked).to_contain_text("In one word: Do you deliver to islands?")
    expect(prompt).to_be_focused()
    prompt.fill("{{ question")
    expect(asked).to_contain_text("line 1")
    sight.assert_good(page)
    prompt.fill("In a line: {{ question }}")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("are saved")
    expect(page.get_by_role("button", name="Back to the built-in")).to_be_visible()
    sight.shoot(page, "prompt")
