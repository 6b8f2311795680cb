"""Answers that do not fit their schema: mended, asked again or elsewhere; each counted, priced and told."""

import json
from collections import Counter

import pytest
from sqlalchemy import select

from app.core.requests.answer_fields import schema_of
from app.services.options import Options
from models import Attempt, JobCounts
from models.session import reading
from tests.support.malformed_answers import FIELDS, truth
from tests.support.odd_answers import body, message

pytestmark = pytest.mark.one_database

HAIKU = {"model": "claude-haiku-4-5", "schema": schema_of(FIELDS)}
GOOD, BAD = '{"good": true}', '{"good": "very"}'
ASKS = {"model": "claude-haiku-4-5", "schema": schema_of(["good: yes/no"])}


def test_of_answers_malformed_in_eight_ways_nearly_all_become_right_for_a_tenth_more(running, upstream):
    # Given a provider that says 12 % of what is true badly
    upstream.configure(faults=[{"kind": "structured", "status": 12}], latency_ms=0)
    texts = [f"review {number}: " + "It came, it stayed, it was what it was. " * 40 for number in range(600)]

    job = running.submit([{"prompt": text} for text in texts], **HAIKU).wait_for("completed", seconds=60)

    # Then nearly all are right, and not one says what was not said
    values = {idx: json.loads(output.value) for idx, output in job.outputs().items() if output.value}
    assert len(values) >= 0.995 * len(texts)
    assert all(value == truth(texts[idx]) for idx, value in values.items())
    assert {output.error_type for output in job.outputs().values()} <= {None, "schema_mismatch"}

    # And what it took is counted and paid, at no more than 1.10 times the cost of asking each once
    with reading() as session:
        attempts = session.scalars(select(Attempt).where(Attempt.job_id == job.id)).all()
        repairs = session.get_one(JobCounts, job.id).repairs
    first = sum(attempt.cost for attempt in attempts if attempt.attempt == 1)
    assert first < sum(attempt.cost for attempt in attempts) <= 1.10 * first
    told = Counter(output.repair for output in job.outputs().values() if output.repair)
    assert repairs == told
    assert told["mended"] > 20
    assert told["asked_again"] > 20


def test_it_is_asked_again_in_the_same_conversation_with_the_validators_words(running, upstream):
    upstream.configure(
        faults=[
            {"kind": "answer", "matching": "is not of type", "text": GOOD},
            {"kind": "answer", "matching": "ask", "text": BAD},
        ]
    )

    job = running.submit([{"prompt": "ask"}], **ASKS).wait_for("completed")

    output, books = job.outputs()[0], upstream.books()
    assert (output.value, output.repair) == (b'{"good":true}', "asked_again")
    assert "at /good" in books[1]["text"]
    assert [attempt.error_type for attempt in job.attempts()] == [None, None]
    assert job.counts().cost == sum(attempt.cost for attempt in job.attempts()) == output.cost


def test_an_answer_that_was_paused_is_told_of_whole_and_once(running, upstream):
    # Given an answer in two calls that does not fit, and one that does when it is told so
    first, last = [{"type": "text", "text": '{"good":'}], [{"type": "text", "text": '"very"}'}]
    upstream.configure(
        faults=[
            {"kind": "answer", "matching": "is not of type", "text": GOOD},
            body(message("", "pause_turn", content=first), matching="ask", first=1),
            body(message("", content=last), matching="ask"),
        ],
        keep_requests=True,
    )

    job = running.submit([{"prompt": "ask"}], **ASKS).wait_for("completed")

    # Then it is told behind the whole answer, which the conversation has once
    asked, paused, told = [seen["request"]["messages"] for seen in upstream.books()]
    assert paused == [*asked, {"role": "assistant", "content": first}]
    assert told[:-1] == [*asked, {"role": "assistant", "content": BAD.replace(" ", "")}]
    assert (told[-1]["role"], job.outputs()[0].value) == ("user", b'{"good":true}')


def test_a_stronger_model_is_asked_last_and_the_record_fails_with_each_fault(running, upstream):
    # Given a model that never fits, and another that does where it is asked nicely
    upstream.configure(faults=[{"kind": "answer", "text": BAD}])
    opus = "claude-opus-4-8"

    job = running.submit([{"prompt": "ask"}], **ASKS, escalate_to=opus, options=Options(retries=1)).wait_for(
        "completed"
    )

    output, attempts = job.outputs()[0], sorted(job.attempts(), key=lambda attempt: attempt.attempt)
    assert [attempt.model for attempt in attempts] == [
        "claude-haiku-4-5",
        "claude-haiku-4-5",
        "claude-opus-4-8",
    ]
    assert output.error_type == "schema_mismatch"
    assert "at /good" in output.error_message.decode()
    assert BAD in json.loads(output.body)["content"][0]["text"]
    assert job.counts().cost == sum(attempt.cost for attempt in attempts) == output.cost


@pytest.mark.parametrize("text", ['{"good": tr', f"```json\n{GOOD}\n```"])
def test_a_cut_answer_is_neither_mended_nor_asked_again(running, upstream, text):
    upstream.configure(faults=[{"kind": "answer", "text": text}], output_tokens=1)
    messages = [{"role": "user", "content": "ask"}]

    job = running.submit([{"params": {"max_tokens": 2, "messages": messages}}], **ASKS).wait_for("completed")

    assert job.outputs()[0].error_type == "truncated"
    assert len(upstream.books()) == 1


def test_no_rung_passes_the_cap(running, upstream):
    upstream.configure(faults=[{"kind": "answer", "text": BAD}])
    asked = [{"prompt": f"ask {number}"} for number in range(20)]
    cap = 40_000_000_000  # pico-dollars: four cents, some worst cases of a call

    job = running.submit(asked, **ASKS, options=Options(max_cost=cap)).wait_for("completed", "paused")

    assert job.counts().cost + job.counts().cost_unconfirmed <= cap
