"""What a quote counts, refuses, warns of, and leaves behind: nothing."""

import json

import pytest
from sqlalchemy import func, select

from models import Job, Record
from models.session import reading
from tests.support.front_door import JOBS, Door
from tests.support.quote_client import CLAUDE, QUESTIONS, Buyer, first_lines

pytestmark = pytest.mark.one_database


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
    assert any("1 record of another model" in warning for warning in quote["warnings"])
    assert any("2 later turns of conversations" in warning for warning in quote["warnings"])


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
