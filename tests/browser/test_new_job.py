"""From a dropped sheet to its answers, as somebody does it who never read about it; with a stopwatch."""

import csv
import io
import re
import time

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.support import sight
from tests.support.pages import Pages, sign_in

REVIEWS = "id;Größe;Kommentar\n" + "".join(
    f"{number};M;Sehr schön, kam {number} mal\n" for number in range(1, 25)
)
# What a mouse does that lets a file go over the page.
DROP = """([name, bytes]) => {
    const held = new DataTransfer();
    held.items.add(new File([new Uint8Array(bytes)], name));
    window.dispatchEvent(new DragEvent("drop", {dataTransfer: held, bubbles: true, cancelable: true}));
}"""
SECONDS, ACTIONS = 60, 5  # from the drop to the first answer on the screen, at most

PUT_IN = "(box, text) => { box.value = text; box.dispatchEvent(new Event('input', { bubbles: true })); }"


def let_go(page: Page, name: str, content: bytes) -> None:
    page.goto("/ui/new")
    page.evaluate(DROP, [name, list(content)])
    page.wait_for_url("**/ui/new/*-*")


def test_a_sheet_is_dropped_tried_submitted_and_downloaded(page: Page, site: Site) -> None:
    # Given somebody with a key, and a sheet as her spreadsheet saves it
    sign_in(page, site.newcomer().key)
    started, actions = time.monotonic(), 1

    # When she drops it, she sees how it was read
    let_go(page, "Kommentare.csv", REVIEWS.encode("cp1252"))
    rows = page.get_by_role("region", name="Table of the first rows")
    expect(rows.get_by_role("row").nth(1)).to_contain_text("Sehr schön, kam 1 mal")
    expect(page.get_by_label("Separator")).to_contain_text("found: semicolon")

    # And while she writes a prompt, the first ones as they will be asked, and the price
    page.get_by_label("Prompt", exact=True).fill("Gut oder schlecht? ")
    page.get_by_role("button", name="Kommentar").click()
    actions += 2
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("Gut oder schlecht? {{ Kommentar }}")
    expect(page.locator("#prompt-1")).to_contain_text("Gut oder schlecht? Sehr schön, kam 1 mal")
    expect(page.locator("#quote")).to_contain_text("Likely cost")

    # And when she tries five rows, their answers beside them
    page.get_by_role("button", name="Try on 5 rows").click()
    actions += 1
    expect(rows.locator(".answer .text").first).not_to_be_empty()
    assert time.monotonic() - started < SECONDS
    assert actions <= ACTIONS
    expect(page.locator("#quote")).to_contain_text(re.compile(r"5 rows cost \$0\.\d+; all 24 about \$0\.\d+"))

    # Then all is still there after a reload, and the whole job takes the five answers over
    page.reload()
    expect(rows.locator(".answer .text")).to_have_count(5)
    sight.assert_good(page)
    sight.shoot(page, "new-job")
    page.get_by_role("button", name="Submit 24 rows").click()
    expect(page.get_by_role("status").first).to_contain_text("Batch submitted with ID")
    expect(page.locator("main")).to_contain_text("completed")

    # And she downloads her sheet in its own form, with the answers
    page.get_by_text("Download", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").first.click()
    text = download.value.path().read_bytes().decode("cp1252")
    answered = list(csv.DictReader(io.StringIO(text), delimiter=";"))
    assert [row["Kommentar"] for row in answered] == [f"Sehr schön, kam {n} mal" for n in range(1, 25)]
    assert all(row["answer"] for row in answered)


def test_what_is_chosen_changes_the_preview_and_faults_are_beside_their_rows(
    pages: Pages, site: Site
) -> None:
    page = pages()
    sign_in(page, site.newcomer().key)
    let_go(page, "مراجعات.csv", b"About,this\nid,review\n1,fine\n2,a,b\n")

    # A choice that is typed changes rows and chips, and the caret stays where it is
    page.get_by_label("Header row").focus()
    page.keyboard.type("2")
    expect(page.get_by_role("button", name="review")).to_be_visible()
    expect(page.get_by_label("Header row")).to_be_focused()

    # Enter leaves nobody somewhere else
    page.keyboard.press("Enter")
    expect(page.get_by_label("Header row")).to_be_focused()

    # A fault stands beside its row, and is led to by the keyboard alone
    page.get_by_label("Prompt", exact=True).fill("{{ review }}")
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("link", name="row 4").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#row-4")).to_be_focused()
    expect(page.locator("#row-4")).to_contain_text("The row has 3 cells")
    sight.assert_good(page)
    sight.shoot(page, "new-job-faults")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("{{ review }}")


def test_what_is_pasted_outlives_a_reload_and_needs_no_script(pages: Pages, site: Site) -> None:
    door = site.newcomer()
    page, without = pages(), pages(java_script_enabled=False)
    sign_in(page, door.key)
    page.goto("/ui/new")
    page.get_by_label("Or paste texts").fill("one\ntwo")
    page.reload()
    expect(page.get_by_label("Or paste texts")).to_have_value("one\ntwo")
    sight.assert_good(page)
    sight.shoot(page, "new")
    # And a server that is away just then: it is gone from the tab only when it is kept elsewhere
    page.context.set_offline(True)
    page.get_by_role("button", name="Use these texts").click()
    page.wait_for_url("chrome-error://**")
    page.context.set_offline(False)
    page.goto("/ui/new")
    expect(page.get_by_label("Or paste texts")).to_have_value("one\ntwo")
    page.get_by_role("button", name="Use these texts").click()
    page.wait_for_url("**/ui/new/*-*")
    page.goto("/ui/new")
    expect(page.get_by_label("Or paste texts")).to_have_value("")

    sign_in(without, door.key)
    without.goto("/ui/new")
    without.get_by_label("Or paste texts").fill("one\ntwo")
    without.get_by_role("button", name="Use these texts").click()
    without.get_by_label("Prompt", exact=True).fill("Translate: ")
    without.get_by_role("button", name="text", exact=True).click()
    expect(without.locator("#prompt-2")).to_contain_text("Translate: two")
    without.get_by_role("button", name="Submit 2 rows").click()
    expect(without.get_by_role("status").first).to_contain_text("Batch submitted with ID")


def test_what_fails_while_somebody_types_is_told_and_typing_goes_on(page: Page, site: Site) -> None:
    sign_in(page, site.newcomer().key)
    let_go(page, "reviews.csv", b"id,review\n1,fine\n")
    prompt = page.get_by_label("Prompt", exact=True)

    # When more is typed than a draft holds
    prompt.evaluate(PUT_IN, "x" * 1_000_001)  # typed or pasted, a browser takes many seconds for it
    expect(page.get_by_role("alert")).to_contain_text("the limit is 1,000,000")

    # Then less is taken again
    prompt.fill("Good? {{ review }}")
    expect(page.locator("#prompt-1")).to_contain_text("Good? fine")
