"""The pictures of the README: `SCREENSHOTS=docs/images pytest -m long tests/browser/test_pictures.py`."""

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.support import sight
from tests.support.pages import drop, sign_in

FOLDER = os.environ.get("SCREENSHOTS") or tempfile.mkdtemp()
GROUP = "anthropic:haiku-4.5"
MOST = 200_000  # bytes of a picture
WIDTH, TELEPHONE = 1280, 390  # pixels
PARTLY = re.compile(r"\b[3-9]\d\d of 1,200 records")

# What was reviewed, and what the model says of it.
REVIEWS = {
    "The kettle boils in two minutes. The lid sticks.": "Likes its speed; dislikes the lid.",
    "Third pair of these boots: they outlast the rest.": "Likes how long the boots last.",
    "المقاس صغير جدًا ولكن القماش جيد": "يعجبه القماش، ولا يعجبه المقاس.",
    "The blanket lost its colour in the first wash.": "Dislikes that the colour washed out.",
    "颜色比照片上好看，很满意": "喜欢颜色，没有不满意的地方。",
    "Arrived late, in an open box. The lamp is lovely.": "Likes it; dislikes the late, open parcel.",
    "Too heavy to hold with one hand, but the picture is superb.": "Likes the picture; dislikes the weight.",
    "It does what it says. Nothing more, nothing less.": "Is content: it does what it promises.",
    "縫い目がほどけました。色は気に入っています。": "色は気に入っているが、縫い目に不満がある。",
    "My daughter wears it every day, also to bed.": "Likes it so much that it is worn every day.",
}
ROWS = 1_200
SHEET = "order,review,stars\n" + "".join(
    f'{10_000 + number},"{list(REVIEWS)[number * 7 % 10]}",{number * 3 % 5 + 1}\n' for number in range(ROWS)
)
PROMPT = "Order {{ order }}: <review>{{ review }}</review>\nIn one sentence: what is liked or disliked?"


@pytest.fixture
def slow_claude(site: Site, page: Page) -> Iterator[None]:
    """Answers worth reading, at a rate that one can watch."""
    answers = [{"kind": "answer", "matching": review, "text": text} for review, text in REVIEWS.items()]
    site.service.upstream.configure(latency_ms=900, latency_sigma=0.4, faults=answers)
    yield
    site.service.upstream.reset()


def picture(page: Page, name: str, width: int = WIDTH, height: int = 880, theme: str = "light") -> None:
    sight.show(page, width, theme)
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("scrollTo(0, 0)")
    path = Path(FOLDER, f"{name}.png")
    page.screenshot(path=path, animations="disabled")
    assert path.stat().st_size < MOST, f"{path} has {path.stat().st_size} bytes"


@pytest.mark.long
@pytest.mark.usefixtures("slow_claude")
def test_the_pictures_of_the_readme(page: Page, site: Site) -> None:
    door = site.service.door.other("lamps-and-kettles", ("admin", "operator"))
    limit = {"requests_per_minute": 600}
    assert door.call("PUT", f"/api/v1/limits/{GROUP}", json=limit).status_code == 200
    sign_in(page, door.key)

    # A sheet was dropped, and its first rows were tried
    drop(page, SHEET, "reviews of march.csv")
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    expect(page.get_by_role("region", name="Price and time")).to_contain_text("Likely cost")
    page.get_by_role("button", name="Try on 5 rows").click()
    expect(page.get_by_text("all 1,200 about")).to_be_visible(timeout=60_000)
    page.evaluate("document.activeElement.blur()")
    picture(page, "new-job", height=960)

    # The whole job runs
    page.get_by_role("button", name="Submit 1,200 rows").click()
    page.get_by_role("link", name="Records", exact=True).wait_for()
    job = page.url.partition("?")[0]
    expect(page.get_by_role("region", name="State")).to_contain_text("may take 600 requests", timeout=60_000)
    expect(page.get_by_role("region", name="State")).to_contain_text(PARTLY, timeout=90_000)
    page.reload()  # without the notice of its submission
    picture(page, "job")
    page.goto(f"{job}/slow")
    picture(page, "why-so-slow", height=640)
    page.goto("/ui/limits")
    picture(page, "limits", TELEPHONE, 844)
    page.goto(f"{job}/records")
    picture(page, "records", theme="dark", height=760)
    door.call("PUT", f"/api/v1/limits/{GROUP}", json={"requests_per_minute": 60_000})
