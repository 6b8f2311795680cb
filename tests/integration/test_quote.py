"""The quote against the real bill: what the upstream counted for the same file."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from models import Job, Record
from models.session import reading
from tests.door import JOBS, Door
from tests.servers import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
REVIEWS = (EXAMPLES / "reviews.csv").read_bytes()
QUESTIONS = (EXAMPLES / "questions.jsonl").read_bytes()
TEMPLATE = (
    "<review>{{ review }}</review> In one short English sentence: what does this customer like or dislike?"
)
CLAUDE = "claude-haiku-4-5"


def first_rows(content: bytes, count: int) -> bytes:
    rows = list(csv.reader(io.StringIO(content.decode())))[: count + 1]
    to = io.StringIO()
    csv.writer(to).writerows(rows)
    return to.getvalue().encode()


def first_lines(content: bytes, count: int) -> bytes:
    return b"".join(content.splitlines(keepends=True)[:count])


# A file, its beginning, and the fields that go with it.
EXAMPLE_FILES = [
    pytest.param("reviews.csv", REVIEWS, first_rows(REVIEWS, 30), {"template": TEMPLATE}, id="reviews.csv"),
    pytest.param("questions.jsonl", QUESTIONS, first_lines(QUESTIONS, 30), {}, id="questions.jsonl"),
]


class Buyer:
    """A tenant at the door who asks for quotes and submits."""

    def __init__(self, door: Door) -> None:
        self.door = door

    def estimate(self, name: str, content: bytes, **fields: str) -> dict:
        response = self.door.upload(name, content, path=f"{JOBS}/estimate", **{"model": CLAUDE, **fields})
        assert response.status_code == 200, response.text
        return response.get_json()

    def buy(self, name: str, content: bytes, **fields: str) -> dict:
        job = self.door.upload(name, content, **{"model": CLAUDE, **fields}).get_json()
        wait_until(lambda: self.door.job(job)["status"] == "completed", seconds=120, what="the job has ended")
        return self.door.job(job)


@pytest.fixture
def buyer(running, upstream, request):
    """A tenant of this test's own, without history."""
    return Buyer(Door(tenant=request.node.name[:200]))


@pytest.mark.parametrize(("name", "whole", "beginning", "fields"), EXAMPLE_FILES)
def test_after_thirty_rows_the_likely_cost_is_within_15_percent_of_the_real_bill(
    buyer, upstream, name, whole, beginning, fields
):
    # Given the first rows, answered
    asked = buyer.buy(name, beginning, **fields)
    # When
    quote = buyer.estimate(name, whole, **fields)
    upstream.reset()
    bill = buyer.buy(name, whole, **fields)
    # Then each figure is near what the upstream counted
    summary = upstream.summary()
    cost, paid = quote["cost"], Decimal(bill["cost"])
    assert quote["basis"]["by"] == "same_request"
    assert quote["basis"]["job"] == asked["id"]
    assert quote["basis"]["answers"] == 30
    assert quote["records"] == bill["total"]
    assert abs(Decimal(cost["likely"]) / paid - 1) < Decimal("0.15")
    assert Decimal(cost["low"]) <= paid <= Decimal(cost["high"])
    assert abs(quote["input_tokens"]["likely"] / summary["input_tokens"] - 1) < 0.15
    assert abs(quote["output_tokens"]["likely"] / summary["output_tokens"] - 1) < 0.15


@pytest.mark.parametrize(("name", "whole", "beginning", "fields"), EXAMPLE_FILES)
def test_a_quote_without_history_holds_the_real_bill_between_its_ends_and_says_that_it_guesses(
    buyer, name, whole, beginning, fields
):
    # When
    quote = buyer.estimate(name, whole, **fields)
    bill = buyer.buy(name, whole, **fields)
    # Then
    assert quote["basis"]["calibrated"] is False
    assert "not calibrated" in quote["basis"]["text"]
    assert Decimal(quote["cost"]["low"]) <= Decimal(bill["cost"]) <= Decimal(quote["cost"]["high"])
    tokens = quote["input_tokens"]
    assert tokens["low"] <= bill["usage"]["input_tokens"] <= tokens["high"]


def test_another_request_of_the_model_calibrates_tokens_and_not_the_longest_answer(buyer):
    # Given
    buyer.buy("questions.jsonl", first_lines(QUESTIONS, 30))
    # When
    quote = buyer.estimate("reviews.csv", REVIEWS, template=TEMPLATE, max_tokens="500")
    # Then
    assert quote["basis"]["by"] == "same_model"
    assert quote["output_tokens"]["high"] == 299 * 500
    assert quote["output_tokens"]["likely"] < 299 * 50


def test_the_history_of_another_tenant_is_never_used(buyer):
    # Given
    other = Buyer(buyer.door.other(f"other of {buyer.door.tenant_id}"))
    other.buy("questions.jsonl", first_lines(QUESTIONS, 30))
    # When
    quote, theirs = (who.estimate("questions.jsonl", QUESTIONS) for who in (buyer, other))
    # Then
    assert theirs["basis"]["calibrated"] is True
    assert (quote["basis"]["calibrated"], quote["basis"]["answers"]) == (False, 0)


def test_a_larger_job_of_the_same_request_calibrates_rather_than_a_newer_one_of_a_few_answers(buyer):
    larger = buyer.buy("questions.jsonl", first_lines(QUESTIONS, 30))
    buyer.buy("questions.jsonl", first_lines(QUESTIONS, 3))
    assert buyer.estimate("questions.jsonl", QUESTIONS)["basis"]["job"] == larger["id"]


@pytest.fixture
def shop(environment, monkeypatch):
    """A door with a key for Claude, and nobody who asks anything."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    return Buyer(Door())


def test_a_quote_stores_nothing_and_finds_what_is_asked_twice(shop):
    # When
    quote = shop.estimate("records.jsonl", first_lines(QUESTIONS, 30) + b'{"prompt":"Why?"}\n' * 3)
    # Then
    assert (quote["records"], quote["duplicates"]) == (33, 2)
    with reading() as session:
        assert [session.scalar(select(func.count()).select_from(table)) for table in (Job, Record)] == [0, 0]


def test_json_is_quoted_as_a_file_is_and_bad_input_is_refused_as_it_is_submitted(shop):
    # Given
    def answers(body: dict) -> list:
        text = json.dumps({"model": CLAUDE, **body})
        paths = (f"{JOBS}/estimate", JOBS)
        return [shop.door.post(path, data=text, content_type="application/json") for path in paths]

    # When
    good, _ = answers({"records": [{"prompt": "Why?"}]})
    bad, as_submitted = answers({"records": [{"prompt": ""}, {"prompt": "a", "promt": "b"}]})
    reader = shop.door.other("acme", ["jobs:read"])
    # Then
    assert good.get_json()["records"] == 1
    assert (bad.status_code, as_submitted.status_code) == (422, 422)
    problems, as_told = (answer.get_json()["error"]["details"] for answer in (bad, as_submitted))
    assert problems == as_told
    assert reader.post(f"{JOBS}/estimate").status_code == 403


def test_a_model_without_a_price_has_no_cost_and_a_warning(shop):
    quote = shop.estimate("records.jsonl", b'{"prompt":"Why?"}', model="claude-new-9")
    assert quote["cost"] is None
    assert "claude-new-9 has no price" in quote["warnings"][0]


def test_records_of_other_models_and_turns_of_conversations_are_said(shop):
    params = {"params": {"model": "claude-opus-5", "messages": [{"role": "user", "content": "Why?"}]}}
    lines = [params, *({"prompt": "Go on", "conversation": "a"} for _ in range(3))]
    quote = shop.estimate("records.jsonl", "\n".join(map(json.dumps, lines)).encode())
    assert any("1 records name another model" in warning for warning in quote["warnings"])
    assert any("2 records go on with a conversation" in warning for warning in quote["warnings"])


def test_the_time_is_what_limits_and_the_jobs_before_allow(shop, monkeypatch):
    # Given 50 requests a minute, which are assumed before anything is known, and nobody there
    free = shop.estimate("questions.jsonl", QUESTIONS)
    # When other jobs are there, a long one and a short one, of whichever tenant
    shop.door.submit(400, model=CLAUDE)
    shop.door.other().submit(10, model="claude-haiku-4-5-20251001")
    shop.door.submit(400, model="claude-opus-5")
    queued = shop.estimate("questions.jsonl", QUESTIONS)
    # Then
    assert (free["queued_records"], queued["queued_records"]) == (0, 130)
    assert free["limited_by"] == "requests"
    assert any("50 requests a minute are assumed" in warning for warning in free["warnings"])
    minutes = [quote["duration_seconds"]["likely"] / 60 for quote in (free, queued)]
    assert minutes == [pytest.approx(120 / 50, rel=0.05), pytest.approx(250 / 50, rel=0.05)]
