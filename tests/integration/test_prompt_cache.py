"""What a job's records share is paid as cached: on real workers, with a provider that keeps it."""

import datetime as dt
import json
import time
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.pipeline import lifecycle
from app.services.job_actions import act
from app.services.options import Options
from config import settings
from models import RecordOutput
from models.session import in_transaction
from tests.support.front_door import Door
from tests.support.quote_client import Buyer
from tests.support.servers import wait_until
from tests.support.stack import Running, Stack

pytestmark = pytest.mark.one_database

CLAUDE, LEAST = "claude-haiku-4-5", 4_096
SYSTEM = "Judge the review by these rules. " + "A rule that holds for each of them. " * 700  # 6,300 tokens
HEAD = "These are the rules of the house. " + "One more rule that all of them keep. " * 700
TEMPLATE = HEAD + "\n\nReview: {{ review }}"


@pytest.fixture
def keeping(upstream):
    upstream.configure(least_cacheable=LEAST, keep_requests=True, latency_ms=100)
    return upstream


@pytest.fixture
def buyer(running, request):
    """A tenant of this test's own, without history."""
    return Buyer(Door(tenant=request.node.name[:200]))


def lines(count: int) -> bytes:
    return b"\n".join(json.dumps(row["row"]).encode() for row in rows(count))


def rows(count: int) -> list[dict[str, Any]]:
    return [{"row": {"review": f"Review number {number}"}} for number in range(count)]


def ask(stack: Stack, records: list[dict[str, Any]], **wishes: Any) -> Running:
    return stack.submit(records, model=CLAUDE, **wishes)


def is_forgotten(summary: dict[str, Any]) -> bool:
    return summary["now"] - summary["last_at"] > 1.0


def make_older(session: Session, job: Running, seconds: int) -> None:
    """Let the job's calls have been made so long ago."""
    outputs = session.scalars(select(RecordOutput).where(RecordOutput.job_id == job.id))
    for output in outputs:
        assert output.started_at is not None
        output.started_at -= dt.timedelta(seconds=seconds)


def written(seen: list[dict[str, Any]]) -> list[bool]:
    """Whether each call, in the order of their arrival, has written to the cache."""
    return [call["cache_write_tokens"] > 0 for call in seen]


def test_one_record_has_the_shared_part_kept_and_all_others_read_it(running, keeping):
    job = ask(running, rows(60), system=SYSTEM, template="{{ review }}").wait_for("completed")

    seen = keeping.books()
    assert job.statuses() == {"succeeded": 60}
    assert written(seen) == [True] + [False] * 59
    assert seen[1]["at"] - seen[0]["at"] >= 0.1  # the second one left when the first had its answer
    shared = seen[0]["cache_write_tokens"]
    assert shared > 6_000
    assert [call["cache_read_tokens"] for call in seen[1:]] == [shared] * 59
    assert {json.dumps(call["request"]["system"]) for call in seen} == {
        json.dumps([{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}])
    }
    counts = job.counts()
    # A million tokens cost a dollar, written 1.25, read 0.10.
    assert counts.cache_saved == 59 * shared * 900_000 - shared * 250_000


def test_the_head_of_the_template_is_kept_and_the_model_reads_the_same_text(running, keeping):
    job = ask(running, rows(20), template=TEMPLATE).wait_for("completed")

    seen = keeping.books()
    assert written(seen) == [True] + [False] * 19
    assert sum(call["cache_read_tokens"] for call in seen) > 0.95 * 19 * len(HEAD) / 4
    contents = [call["request"]["messages"][0]["content"] for call in seen]
    assert {"".join(block["text"] for block in content) for content in contents} == {
        f"{HEAD}\n\nReview: Review number {number}" for number in range(20)
    }
    assert job.statuses() == {"succeeded": 20}


@pytest.mark.parametrize(
    ("records", "wishes"),
    [
        pytest.param(rows(2), {"system": SYSTEM}, id="two records"),
        pytest.param(rows(6), {"system": SYSTEM[:8_000]}, id="too little to be kept"),
        pytest.param(rows(6), {"system": SYSTEM, "prompt_cache": False}, id="the job says no"),
        pytest.param(
            rows(6), {"system": SYSTEM, "params": {"cache_control": {"type": "ephemeral"}}}, id="its own"
        ),
    ],
)
def test_a_job_that_would_not_gain_is_left_as_it_is(running, keeping, records, wishes):
    ask(running, records, template="{{ review }}", **wishes).wait_for("completed")

    for call in keeping.books():
        assert call["request"]["system"] == wishes["system"]
        assert call["request"]["messages"][0]["content"].startswith("Review number")


def test_a_record_that_sets_its_own_is_passed_as_it_is(running, keeping):
    own = [{"type": "text", "text": "Mine. " * 10, "cache_control": {"type": "ephemeral"}}]
    records = [{"messages": [{"role": "user", "content": own}]}, *({"prompt": f"P {n}"} for n in range(5))]

    ask(running, records, system=SYSTEM).wait_for("completed")

    mine = [call for call in keeping.books() if call["text"].startswith("Mine")]
    assert [call["request"]["system"] for call in mine] == [SYSTEM]
    assert mine[0]["request"]["messages"] == records[0]["messages"]
    assert sum(call["cache_read_tokens"] > 0 for call in keeping.books()) == 4


def test_records_that_fail_alone_are_followed_by_another_one(running, keeping):
    keeping.configure(faults=[{"kind": "status", "status": 400, "first": 2}])

    job = ask(running, rows(30), system=SYSTEM, template="{{ review }}").wait_for("completed")

    assert job.statuses() == {"succeeded": 28, "failed": 2}
    billed = [call for call in keeping.books() if call["outcome"] == "answered"]
    assert written(billed) == [True] + [False] * 27


def test_a_provider_that_keeps_nothing_is_asked_for_it_twice(running, keeping):
    keeping.configure(least_cacheable=100_000)

    job = ask(running, rows(60), system=SYSTEM, template="{{ review }}").wait_for("completed")

    assert job.statuses() == {"succeeded": 60}
    asked = [isinstance(call["request"]["system"], list) for call in keeping.books()]
    assert asked == [True] * 2 + [False] * 58


def test_after_a_pause_beyond_its_lifetime_one_record_goes_alone_again(running, keeping):
    # Given a job that is paused halfway, until its provider has forgotten what it kept
    keeping.configure(keeps_seconds=1.0)
    options = Options(max_concurrent=20)
    job = ask(running, rows(240), system=SYSTEM, template="{{ review }}", options=options)
    job.wait_until_ended(50)
    act(running.tenant_id, str(job.uid), lifecycle.pause)
    wait_until(lambda: not job.statuses()["running"], seconds=20, what="no call is in flight")
    wait_until(lambda: is_forgotten(keeping.summary()), seconds=20, what="what was kept is forgotten")
    before = keeping.summary()["requests"]
    in_transaction(partial(make_older, job=job, seconds=600))

    # When it goes on
    act(running.tenant_id, str(job.uid), lifecycle.resume)
    job.wait_for("completed")

    # Then it begins as it did the first time
    assert before < 240
    assert written(keeping.books()[before:]) == [True] + [False] * (239 - before)
    assert job.statuses() == {"succeeded": 240}


def test_a_conversation_reads_the_turns_before(running, keeping):
    turns = [{"prompt": f"Turn {number}. " + "Something to think about. " * 700} for number in range(4)]

    job = ask(running, turns, conversations=["talk"] * 4).wait_for("completed")

    assert job.statuses() == {"succeeded": 4}
    seen = keeping.books()
    assert [call["cache_write_tokens"] > 4_000 for call in seen] == [True, True, True, False]
    assert [round(call["cache_read_tokens"], -2) for call in seen] == [0, 4600, 9200, 13700]
    assert all(call["input_tokens"] < 200 for call in seen[:3])


def test_reads_do_not_count_toward_the_input_limit(running, keeping, buyer):
    """Ten calls a minute in full; each takes a fiftieth of that once it reads what all share."""
    # Given limits that nobody but this job's models have
    limit = 65_000
    keeping.configure(input_tokens_per_minute=limit)

    began = time.monotonic()
    buyer.buy("reviews.jsonl", lines(300), model="claude-opus-4-5", system=SYSTEM, template="{{ review }}")

    summary = keeping.summary()
    assert time.monotonic() - began < 30
    assert summary["refused"] == 0
    assert summary["densest"]["input_tokens"] <= 1.01 * limit
    assert summary["cache_read_tokens"] > 4 * limit


def test_quote_job_and_usage_say_what_is_saved(running, keeping, buyer):
    asked = {"system": SYSTEM, "template": "{{ review }}"}
    quote = buyer.estimate("reviews.jsonl", lines(100), **asked)
    dear = buyer.estimate("reviews.jsonl", lines(100), prompt_cache="false", **asked)

    job = buyer.buy("reviews.jsonl", lines(100), **asked)

    saved = job["saved"]["prompt_cache"]
    assert saved["tokens"] == keeping.summary()["cache_read_tokens"] == job["usage"]["cache_read_tokens"]
    total = buyer.door.get("/api/v1/usage").get_json()["total"]
    assert total["saved"]["prompt_cache"] == saved
    quoted = quote["saved"]["prompt_cache"]
    assert 0.6 < quoted["tokens"] / saved["tokens"] < 1.5
    assert dear["saved"]["prompt_cache"] == {"tokens": 0, "cost": "0.00"}
    likely = Decimal(dear["cost"]["likely"]) - Decimal(quote["cost"]["likely"])
    assert likely == Decimal(quoted["cost"])
    assert Decimal(quote["cost"]["low"]) <= Decimal(job["cost"]) <= Decimal(quote["cost"]["high"])

    # A quote that knows these answers is right though it is for many more
    many = buyer.estimate("reviews.jsonl", lines(1_000), **asked)
    assert many["basis"]["by"] == "same_request"
    read = many["saved"]["prompt_cache"]["tokens"]
    assert abs(read / (saved["tokens"] * 999 / 99) - 1) < 0.02


def test_a_form_says_that_nothing_is_to_be_kept(running, keeping, buyer):
    job = buyer.buy("reviews.jsonl", lines(10), system=SYSTEM, template="{{ review }}", prompt_cache="false")

    assert {type(call["request"]["system"]) for call in keeping.books()} == {str}
    assert job["saved"]["prompt_cache"] == {"tokens": 0, "cost": "0.00"}


def test_questions_about_one_document_read_it_once(running, keeping, buyer):
    document = {"type": "text", "text": "A chapter of the book. " * 1_200}
    asked = [
        {
            "messages": [
                {"role": "user", "content": [document, {"type": "text", "text": f"Question {number}?"}]}
            ]
        }
        for number in range(20)
    ]

    job = buyer.buy("book.jsonl", b"\n".join(json.dumps(record).encode() for record in asked))

    seen = keeping.books()
    assert job["counts"]["succeeded"] == 20
    assert written(seen) == [True] + [False] * 19
    assert all(call["input_tokens"] < 100 for call in seen)


def test_a_first_try_tells_what_the_others_cost_that_only_read(running, keeping, buyer):
    # Given a job that is tried on 20 records, of which one has the shared part kept for all
    asked = {"system": SYSTEM, "template": "{{ review }}"}
    job = buyer.door.upload("r.jsonl", lines(400), model=CLAUDE, try_first="20", **asked).get_json()
    wait_until(lambda: buyer.door.job(job)["status"] == "paused", seconds=60, what="it was tried")
    tried = buyer.door.job(job)
    assert keeping.summary()["most_in_flight"] > 1

    # When it goes on
    assert buyer.door.post(f"{job['links']['self']}/resume").status_code == 200
    wait_until(lambda: buyer.door.job(job)["status"] == "completed", seconds=60, what="it has ended")

    # Then it costs what was forecast, and one record alone wrote
    cost, forecast = Decimal(buyer.door.job(job)["cost"]), tried["forecast"]
    assert Decimal(forecast["low"]) <= cost <= Decimal(forecast["high"])
    assert abs(cost / Decimal(forecast["likely"]) - 1) < Decimal("0.1")
    assert sum(written(keeping.books())) == 1


def test_a_stronger_model_is_asked_without_keeping_anything(running, keeping, buyer):
    odd = {"kind": "answer", "text": "no JSON", "first": 1}
    keeping.configure(faults=[odd | {"matching": "number 7"}, odd | {"matching": "Give the whole answer"}])
    schema = json.dumps({"type": "object", "properties": {"good": {"type": "boolean"}}, "required": ["good"]})
    asked = {"system": SYSTEM, "template": "{{ review }}", "schema": schema}

    job = buyer.buy("r.jsonl", lines(10), escalate_to="claude-opus-4-5", retries="1", **asked)

    assert job["repairs"] == {"mended": 0, "asked_again": 0, "escalated": 1}
    [stronger] = [call for call in keeping.books() if call["request"]["model"] == "claude-opus-4-5"]
    assert stronger["cache_write_tokens"] == 0
    told = [call for call in keeping.books() if len(call["request"]["messages"]) == 3]
    assert [call["cache_read_tokens"] > 6_000 for call in told] == [True]


@pytest.mark.long
def test_when_the_worker_of_the_first_record_is_killed_another_one_goes_alone(stack, keeping, monkeypatch):
    # Given a worker whose one call is that of the record that goes first
    told = {
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": keeping.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "60000",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    settings.current.cache_clear()
    stack.environment |= told
    stack.start()
    keeping.configure(latency_ms=60_000)
    job = ask(stack, rows(60), system=SYSTEM, template="{{ review }}")
    wait_until(lambda: keeping.summary()["in_flight"], what="the first call is in flight")

    # When it is killed
    keeping.configure(latency_ms=100)
    stack.nodes[0].kill()
    stack.start_slices()
    job.wait_for("completed")

    # Then all others read what a second one wrote
    assert written(keeping.books()) == [True, True] + [False] * 59
    assert job.statuses() == {"succeeded": 60}
