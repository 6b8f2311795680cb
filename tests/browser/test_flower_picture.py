"""Flower as docs show it: `SCREENSHOTS=docs/images pytest -m long tests/browser/test_flower_picture.py`."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from app.services.options import Options
from tests.conftest import penstock_of_its_own
from tests.support.flower import LOGIN, flower
from tests.support.stack import Stack
from tests.support.upstream import Upstream
from tests.support.webhook_receiver import receiving

FOLDER = os.environ.get("SCREENSHOTS") or tempfile.mkdtemp()
MOST = 200_000  # bytes of a picture
WIDTH, HEIGHT = 1600, 800
REFUSED = {"kind": "status", "status": 400, "share": 0.1, "type": "invalid_request_error"}
FAILS_ONCE = {"kind": "status", "status": 500, "share": 0.05, "first_of_each": 1, "type": "api_error"}


@pytest.fixture
def claude() -> Iterator[Upstream]:
    with Upstream() as claude:
        yield claude


@pytest.fixture
def stack(request: pytest.FixtureRequest, claude: Upstream, tmp_path: Path) -> Iterator[Stack]:
    more = {
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": claude.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "3000",
        "WEBHOOK_NETWORKS": "127.0.0.0/8",
    }
    with penstock_of_its_own("postgresql", request, tmp_path, **more) as values:
        made = Stack(values, tmp_path).start(slice_workers=2)
        yield made
        made.stop()


@pytest.mark.long
def test_the_picture_of_flower(stack: Stack, claude: Upstream, browser: Browser) -> None:
    with flower(stack.environment, stack.folder) as seen, receiving(status=503) as receiver:
        seen.await_workers(3)
        model, told = "claude-haiku-4-5", {"webhook_url": receiver.url}

        # Given a job that goes well, and one of which records fail while a worker is killed
        stack.prompts(40, model=model, options=Options(name="tickets.csv")).wait_for("completed")
        claude.configure(latency_ms=700, latency_sigma=0.4, faults=[REFUSED, FAILS_ONCE])
        job = stack.prompts(1_200, model=model, options=Options(name="reviews of march.csv", **told))
        job.wait_until_ended(300)
        stack.nodes[0].kill()
        job.wait_for("completed", seconds=120)
        receiver.wait_for(1)

        # Then its list shows that
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT},
            http_credentials={
                "username": LOGIN.partition(":")[0],
                "password": LOGIN.partition(":")[2],
                "send": "always",
            },
        )
        page.goto(f"{seen.url}/tasks")
        expect(page.get_by_text("penstock.delivery")).to_be_visible()
        expect(page.get_by_text("failed (invalid_request_error").first).to_be_visible()
        path = Path(FOLDER, "flower.png")
        page.screenshot(path=path, animations="disabled")
        assert path.stat().st_size < MOST, f"{path} has {path.stat().st_size} bytes"
