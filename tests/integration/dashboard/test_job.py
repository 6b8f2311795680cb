"""The pages of one job: what they show, what they do, and whom they are for."""

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from config import settings
from models import Job
from models.base import now
from models.session import in_transaction
from tasks import advance
from tests.support.browser_client import Browser
from tests.support.front_door import Door, Worker, number_of
from tests.support.stored_documents import Sender, document

pytestmark = pytest.mark.one_database

VIEWS = ("", "/records", "/records/0", "/errors", "/retry", "/change", "/cancel", "/delete", "/compare")
HEBREW = "שלום <script>alert(1)</script>"


@pytest.fixture
def door(environment) -> Door:
    return Door()


@pytest.fixture
def worker(environment) -> Worker:
    return Worker()


@pytest.fixture
def browser(door) -> Browser:
    return Browser(door)


def at(job: dict[str, Any], path: str = "") -> str:
    return f"/ui/jobs/{job['id']}{path}"


def answer(text: str, **more: Any) -> bytes:
    return json.dumps({"type": "message", "content": [{"type": "text", "text": text}], **more}).encode()


def test_every_view_of_a_job_shows_what_was_written_as_text(door, worker, browser):
    # Given a running job whose name, prompts, answers and errors hold markup
    job = door.submit(
        [{"custom_id": HEBREW, "prompt": HEBREW}, {"prompt": "b"}, {"prompt": "c"}], name=HEBREW
    )
    other = door.submit(3, name=HEBREW)
    worker.end(job, [0], answer=answer(HEBREW))
    worker.end(job, [1], error=("server_error", HEBREW))

    # Then each of its views escapes them and allows no script but the server's
    for view in (*VIEWS, "/records?q=alert", "/records/1", f"/compare?with={other['id']}"):
        response = browser.get(at(job, view))
        assert response.status_code == 200, (view, response.text)
        assert "&lt;script&gt;alert" in response.text, view
        assert "<script>alert" not in response.text, view
        assert "style=" not in response.text, view
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]


def test_a_job_of_another_tenant_is_not_there(door, browser):
    job = door.other().submit(3)
    for view in (*VIEWS, "/live", "/records/live", "/results.csv"):
        assert browser.get(at(job, view)).status_code == 404, view
    for action in ("pause", "resume", "cancel", "delete", "change", "retry"):
        assert browser.post(at(job, f"/{action}"), {"priority": 5}).status_code == 404, action
    mine = door.submit(3)
    assert browser.get(at(mine, f"/compare?with={job['id']}")).status_code == 404


def test_a_key_that_may_only_read_is_offered_no_action(door):
    job = door.submit(3)
    reader = Browser(door, door.colleague("bo", ["jobs:read"]).key)
    html = reader.see(at(job))
    assert "Pause" not in html
    assert reader.post(at(job, "/pause")).status_code == 403


def test_a_job_is_paused_capped_resumed_and_cancelled_by_its_forms(door, worker, browser):
    job = door.submit(3)
    worker.end(job, [0])

    paused = browser.follow(browser.post(at(job, "/pause")))
    assert "Paused by its owner." in paused

    # A cap that is none is told beside its field, with what was typed
    fields = {"name": "nightly", "priority": "8", "max_cost": "a lot", "resume": "1"}
    refused = browser.post(at(job, "/change"), fields)
    assert refused.status_code == 422
    assert "Give dollars such as 2.50" in refused.text
    assert 'value="a lot"' in refused.text
    assert "is changed, and goes on" in browser.follow(
        browser.post(at(job, "/change"), fields | {"max_cost": "$2.50"})
    )
    shown = door.job(job)
    assert (shown["name"], shown["priority"], shown["max_cost"]) == ("nightly", 8, "2.50")
    assert shown["status"] == "running"

    # A cancel says first what it touches
    asked = browser.see(at(job, "/cancel"))
    assert "2 records wait, and will not be asked" in asked
    assert "1 answer stays" in asked
    assert "is cancelled" in browser.follow(browser.post(at(job, "/cancel")))
    assert door.job(job)["status"] == "cancelled"
    assert "can no longer be paused" in browser.post(at(job, "/pause")).text

    assert "removed for good" in browser.see(at(job, "/delete"))
    assert browser.post(at(job, "/delete")).status_code == 303
    assert browser.get(at(job)).status_code == 404


def test_a_job_without_a_name_is_called_the_same_everywhere(door, browser):
    job = door.submit(1)
    [title] = re.findall(r"<h1>.*?>(Job of .*?)<", browser.see(at(job)))
    assert f">{title}</a>" in browser.see("/ui/jobs")


def test_a_forecast_that_its_cap_ends_says_so(door, worker, browser, monkeypatch):
    # Given a job of which a tenth has taken a third of its cap
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    settings.current.cache_clear()
    job = door.submit(10, model="claude-haiku-4-5", max_tokens=200)
    worker.end(job, [0], model="claude-haiku-4-5")
    assert "if the rest costs as much a record" in browser.see(at(job))

    cap = Decimal(door.job(job)["cost"]) * 3
    assert door.call("PATCH", job["links"]["self"], json={"max_cost": str(cap)}).status_code == 200
    html = browser.see(at(job))
    assert "where the cap ends it" in html
    assert "if the rest costs as much a record" not in html


def test_a_group_of_errors_is_asked_again_with_one_click(door, worker, browser):
    job = door.submit(6)
    worker.end(job, [1, 2], error=("server_error", "try 17 failed"))
    worker.end(job, [3], error=("invalid_request", "too long"))
    worker.end(job, [4], answer=answer("cut", stop_reason="max_tokens"))
    worker.end(job, [0, 5])
    advance.run(number_of(job))

    html = browser.see(at(job, "/errors"))
    assert "try 17 failed" in html
    assert "Ask these 2 again" in html
    assert "Answers that were cut at their longest" in html
    assert 'href="/ui/jobs/' + job["id"] + '/records/1"' in html
    listed = browser.see(at(job, "/records?error=server_error"))
    assert ("record-1" in listed, "record-2" in listed, "record-3" in listed) == (True, True, False)

    browser.follow(browser.post(at(job, "/retry"), {"only": "server_error"}))
    assert door.job(job)["status"] == "running"
    advance.run(number_of(job))
    worker.end(job, [1, 2])
    advance.run(number_of(job))

    refused = browser.post(at(job, "/retry"), {"only": "max_tokens", "max_tokens": "0"})
    assert refused.status_code == 422
    told = browser.follow(browser.post(at(job, "/retry"), {"only": "max_tokens", "max_tokens": "4096"}))
    assert "What ended with max_tokens is asked again." in told
    advance.run(number_of(job))
    assert "4096" in browser.see(at(job, "/records/4"))


def test_records_are_found_filtered_and_paged(door, worker, browser):
    job = door.submit([{"prompt": f"Say {number}"} for number in range(60)])
    worker.end(job, [30], answer=answer("die Müllerin"))

    first = browser.see(at(job, "/records"))
    assert ('id="record-24"' in first, 'id="record-25"' in first) == (True, False)
    second = browser.see(at(job, "/records?after=24"))
    assert ('id="record-25"' in second, 'id="record-49"' in second) == (True, True)
    assert "First page" in second
    found = browser.see(at(job, "/records?q=MÜLLER"))
    assert "die <mark>Müller</mark>in" in found
    assert "record-29" not in found
    assert 'href="/ui/jobs/' + job["id"] + '/records/16"' in browser.see(at(job, "/records?q=17"))
    assert "Nothing found" in browser.see(at(job, "/records?q=miller"))
    assert "record-30" in browser.see(at(job, "/records?status=succeeded"))
    for wrong in ("status=done", "after=-1", "after=99999999999", f"q={'x' * 201}"):
        assert browser.get(at(job, f"/records?{wrong}")).status_code == 422, wrong


def test_a_row_is_listed_with_its_prompt_as_it_is_asked(door, browser):
    sheet = b"id,review\n7,fine\n8,poor\n"
    job = door.upload("reviews.csv", sheet, template="Good or bad? {{ review }}").get_json()

    for view in ("/records", f"/compare?with={job['id']}&part=same"):
        listed = browser.see(at(job, view))
        assert "Good or bad? fine" in listed, view
        assert "7 · fine" not in listed, view


def test_results_are_downloaded_with_the_cookie(door, worker, browser):
    job = door.upload("s.csv", "city\nKöln\n".encode(), template="{{city}}?", name="städte").get_json()
    worker.end(job, [0], answer=answer("Rhein"))
    table = browser.get(at(job, "/results.csv"))
    assert "Köln,Rhein" in table.text
    assert "st%C3%A4dte.results.csv" in table.headers["Content-Disposition"]
    assert json.loads(browser.get(at(job, "/results.jsonl")).text)["index"] == 0
    assert browser.get(at(job, "/results.xlsx")).data[:2] == b"PK"
    assert browser.get(at(job, "/results.pdf")).status_code == 404


@pytest.mark.parametrize(
    "asked", [{"model": "simulated", "prompt": "Summarise."}, {}], ids=["asked", "stored"]
)
def test_a_document_is_named_where_it_stands_in_its_request(door, browser, asked):
    job = Sender(door).submit([document(b"Hello", "grüße.txt")], **asked)
    for view in ("", "/records", "/errors", "/compare"):
        browser.see(at(job, view))
    html = browser.see(at(job, "/records/0"))
    assert "[grüße.txt: text/plain, 5 bytes]" in html
    assert ("Summarise." in html) is bool(asked)


def test_the_same_call_is_shown_for_a_shell_and_in_python_without_a_key(door, browser):
    job = door.submit(3)
    html = browser.see(at(job, "/records?status=failed"))
    assert "X-API-Key: $PENSTOCK_API_KEY" in html
    assert f"/api/v1/jobs/{job['id']}/records?status=failed" in html
    assert door.key not in html


def test_two_jobs_are_compared_the_changed_answers_first(door, worker, browser):
    left, right = door.submit(4, name="short"), door.submit(4, name="long", system="Be brief.")
    worker.end(left, range(4), answer=answer("Good."))
    worker.end(right, [0, 1, 3], answer=answer("Good."))
    worker.end(right, [2], answer=answer("Bad."))

    assert f"with={right['id']}" in browser.see(at(left, "/compare"))
    changed = browser.see(at(left, f"/compare?with={right['id']}"))
    assert ("pair-2" in changed, "pair-1" in changed, "Bad." in changed) == (True, False, True)
    same = browser.see(at(left, f"/compare?with={right['id']}&part=same"))
    assert ("pair-2" in same, "pair-1" in same) == (False, True)


def test_a_job_to_compare_with_that_is_not_there_is_told_beside_its_field(door, browser):
    job = door.submit(1)
    wrong = browser.get(at(job, "/compare?with=nightly"))
    assert wrong.status_code == 404
    assert "There is no job &#39;nightly&#39;: choose one in the list of jobs." in wrong.text
    assert 'value="nightly"' in wrong.text


def test_a_job_whose_content_was_deleted_says_so(door, worker, browser):
    job = door.submit(3)
    worker.end(job, range(3))
    advance.run(number_of(job))
    gone = update(Job).where(Job.id == number_of(job)).values(content_removed_at=now())
    in_transaction(lambda session: session.execute(gone) and None)

    for view in ("", "/records", "/retry"):
        assert "were deleted on" in browser.see(at(job, view)), view
    assert browser.get(at(job, "/records/0")).status_code == 410
    assert browser.get(at(job, "/results.csv")).status_code == 410


def test_the_regions_of_a_job_follow_it_to_its_end(door, worker, browser):
    # Given a job that has ended meanwhile
    job = door.submit(3)
    assert 'hx-sse:connect="' + at(job, "/live") in browser.see(at(job))
    worker.end(job, range(3), answer=answer("Good."))
    advance.run(number_of(job))

    # When its regions are followed
    for path in ("/live", "/records/live?status=succeeded"):
        stream = browser.get(at(job, path))
        events = stream.text.split("\n\n")

        # Then the last state is shown, and the page is told that no more comes
        assert stream.mimetype == "text/event-stream"
        assert any("data: " in event and "Good." in event for event in events), path
        assert events[-2] == "event: end\ndata: "
        assert "hx-" not in re.sub(r"</?hx-partial[^>]*>", "", stream.text)
        # And around the region it can be deleted now
        assert "/delete" in stream.text
