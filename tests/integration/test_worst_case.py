"""What a crash may have cost is never less than what the provider may bill for it."""

import datetime as dt
import json
from functools import partial

import pytest

from app.core.documents import open_store
from app.core.money import ledger
from app.core.pipeline import claims, leases, outcomes, recovery, scheduler
from app.core.pipeline.outcomes import Outcome
from app.core.requests import build, job_context
from app.ingest import documents
from app.ingest.values import to_json
from app.providers.client import Usage
from config import settings
from models import RecordStatus
from models.session import in_transaction
from tests.support.front_door import Door, number_of
from tests.support.stack import Running, redis_away
from tests.support.stored_documents import PDF, Sender, document

HAIKU, OPUS = "claude-haiku-4-5", "claude-opus-4-6"


@pytest.fixture
def door(environment, monkeypatch):
    """A door for jobs of Claude's."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    settings.current.cache_clear()
    return Door()


@pytest.mark.parametrize("cap", [None, "100.00"])
def test_the_worst_case_of_a_later_turn_holds_the_turns_that_went_with_it(door, cap):
    # Given a conversation whose first answer was long
    turns = [said("Tell me of turbines. " * 50), said("Go on.")]
    job = submitted(door, turns, system="Be brief. " * 100, max_cost=cap)
    window, lease = first_window(job), in_transaction(leases.take)
    (first,) = take(window, lease)
    answer(first, "A turbine turns. " * 3_000)

    # When the process dies that asks the second
    (second,) = take(window, lease)
    sent = worst_case_of(second)
    in_transaction(partial(recovery.end_lease, lease_id=lease, died=True))

    # Then what it stands with is what that request could cost, and little more
    assert sent <= job.counts().cost_unconfirmed <= 1.1 * sent
    assert job.attempts()[1].cost == job.counts().cost_unconfirmed


def test_the_worst_case_of_a_record_with_a_model_of_its_own_is_that_of_its_model(door):
    # Given a job of a cheap model with a record that names a dear one, in the country that costs more
    params = {"model": OPUS, "inference_geo": "us", "max_tokens": 9_000}
    whole = {"params": {**params, "messages": [{"role": "user", "content": "Think hard."}]}}
    job = submitted(door, [whole, {"prompt": "Think."}])
    window, lease = first_window(job), in_transaction(leases.take)
    dear, cheap = take(window, lease, 2)
    worst = [worst_case_of(dear), worst_case_of(cheap)]

    # When the process dies that asks both
    in_transaction(partial(recovery.end_lease, lease_id=lease, died=True))

    # Then each stands with its own price
    assert [attempt.model for attempt in job.attempts()] == [OPUS, HAIKU]
    for attempt, least in zip(job.attempts(), worst, strict=True):
        assert least <= attempt.cost <= 1.1 * least


@pytest.mark.parametrize("content", [PDF + b"0" * 300_000, b"Words. " * 3_000], ids=["pdf", "text"])
def test_the_worst_case_of_a_document_holds_all_of_its_bytes(door, content):
    # Given a document that a model is asked about
    fields = {"prompt": "What is it?", "model": HAIKU, "priority": 5}
    with redis_away():
        made = Sender(door).submit([document(content)], **fields)
    job = Running(number_of(made), made["id"], created=True)
    window, lease = first_window(job), in_transaction(leases.take)

    # When the process dies that asks
    (claim,) = take(window, lease)
    sent = worst_case_of(claim)
    in_transaction(partial(recovery.end_lease, lease_id=lease, died=True))

    # Then it stands with what the whole request could cost, not with what it is guessed to have of tokens
    assert sent <= 1.01 * job.counts().cost_unconfirmed <= 1.1 * sent


def said(text):
    return {"conversation": "talk", "prompt": text}


def submitted(door, records, **fields):
    """A job that opens no window by itself."""
    with redis_away():
        job = door.submit(records, model=HAIKU, max_tokens=100, **fields)
    return Running(number_of(job), job["id"], created=True)


def first_window(job):
    (publication,) = in_transaction(partial(scheduler.advance, job_id=job.id, held_for=0))
    return publication


def take(window, lease, count=1):
    work = partial(claims.take, window_id=window.window_id, epoch=window.epoch, lease_id=lease, limit=count)
    return in_transaction(work).claims


def worst_case_of(claim):
    """Pico-dollars that the very request of a claim may cost."""
    job = job_context.of(claim.job_id)
    found = documents.read(claim.body)
    attached = None if found is None else open_store.content_block(found)
    params = build.build(job, claim.body, claim.max_tokens, claim.history, attached)
    call = ledger.unconfirmed(
        params["model"],
        params,
        len(to_json(params)),
        params["max_tokens"],
        "test",
        sent_at=dt.datetime.now(dt.UTC),
    )
    return call.cost


def answer(claim, text):
    body = json.dumps({"content": [{"type": "text", "text": text}]}).encode()
    call = ledger.answered(HAIKU, {}, Usage(10, 10), "req", 0.1, sent_at=dt.datetime.now(dt.UTC))
    outcome = Outcome(job_context.of(claim.job_id), claim, call, RecordStatus.SUCCEEDED, body)
    in_transaction(partial(outcomes.write, group=[outcome]))
