"""One call at a time, through the official SDKs: answered, streamed and refused as their APIs do."""

import gzip
import json
import uuid
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import anthropic
import brotli
import httpx2
import openai
import pytest
from backports import zstd
from sqlalchemy import select

from app.core.limits import allowances
from app.core.limits.limiter import limiter
from app.core.pipeline import lifecycle
from app.providers import registry
from app.services.job_actions import act
from models import Job
from models.session import in_transaction, reading
from tests.support.servers import wait_until
from tests.support.stack import Running, Stack
from tests.support.web_process import WebProcess, web_process

pytestmark = pytest.mark.one_database

CLAUDE = "claude-haiku-4-5"
ASKED = [{"role": "user", "content": "Why is the sky blue?"}]
WISH = {"model": CLAUDE, "max_tokens": 100, "messages": ASKED}


@pytest.fixture(scope="module")
def web(running: Stack) -> Iterator[WebProcess]:
    with web_process(running.environment, running.folder, 100) as served:
        yield served


@pytest.fixture
def claude(web: WebProcess, running: Stack) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=web.url, api_key=running.key, max_retries=0) as client:
        yield client


@pytest.fixture
def gpt(web: WebProcess, running: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{web.url}/v1", api_key=running.key, max_retries=0) as client:
        yield client


def job_of(response) -> Running:
    """The job of a call, by the header that names it."""
    with reading() as session:
        job = session.scalars(select(Job).where(Job.uid == uuid.UUID(response.headers["Penstock-Job"]))).one()
    return Running(job.id, job.uid, created=True)


@pytest.mark.parametrize("model", ["simulated", CLAUDE])
def test_a_message_is_answered_and_in_the_books(claude, upstream, model):
    response = claude.messages.with_raw_response.create(model=model, max_tokens=100, messages=ASKED)
    message = response.parse()

    assert "sky" in message.content[0].text
    assert response.headers["request-id"] == response.headers["x-request-id"] == message._request_id
    job = job_of(response).wait_for("completed")
    [attempt] = job.attempts()
    assert (attempt.outcome, attempt.output_tokens) == ("answered", message.usage.output_tokens)
    assert job.counts().cost == attempt.cost


@pytest.mark.parametrize("model", ["simulated", CLAUDE])
def test_a_message_is_streamed_and_stored_as_a_whole(claude, upstream, model):
    with claude.messages.stream(model=model, max_tokens=100, messages=ASKED) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
        job = job_of(stream.response)

    assert "sky" in text
    assert message.content[0].text == text
    stored = json.loads(job.wait_for("completed").outputs()[0].body)
    assert stored["content"][0]["text"] == text
    assert stored["usage"]["output_tokens"] == message.usage.output_tokens
    assert [attempt.outcome for attempt in job.attempts()] == ["answered"]


def test_events_come_while_the_answer_is_being_written(claude):
    wish = {"simulate": {"latency_ms": 2_000, "output_tokens": 100}}
    with claude.messages.stream(model="simulated", max_tokens=200, messages=ASKED, extra_body=wish) as stream:
        next(iter(stream))
        job = job_of(stream.response)
        assert job.status == "running"
        stream.until_done()
    job.wait_for("completed")


def test_a_refusal_of_the_provider_passes_as_it_is(claude, upstream):
    upstream.configure(faults=[{"kind": "status", "status": 400, "message": "messages.0: no such thing"}])

    for ask in (claude.messages.create, lambda **wish: claude.messages.create(stream=True, **wish)):
        with pytest.raises(anthropic.BadRequestError, match=r"messages\.0: no such thing") as refused:
            ask(**WISH)
        assert refused.value.body["error"]["type"] == "invalid_request_error"
    assert [seen["outcome"] for seen in upstream.books()] == ["400", "400"]


def test_an_overloaded_provider_is_not_asked_again_for_somebody_who_waits(claude, upstream):
    upstream.configure(faults=[{"kind": "status", "status": 529, "first": 1}])

    with pytest.raises(anthropic.InternalServerError) as refused:
        claude.messages.create(**WISH)

    assert refused.value.status_code == 529
    assert len(upstream.books()) == 1
    wait_until(lambda: claude.with_options(max_retries=5).messages.create(**WISH), what="an answer")


def test_what_cannot_be_asked_is_refused_in_the_words_of_the_api(claude, gpt, web, upstream):
    with pytest.raises(anthropic.NotFoundError, match="no-such-model"):
        claude.messages.create(model="no-such-model", max_tokens=5, messages=ASKED)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        claude.messages.create(model=CLAUDE, max_tokens=-1, messages=ASKED)
    with pytest.raises(anthropic.AuthenticationError):
        claude.with_options(api_key="pk_unknown").messages.create(**WISH)
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        gpt.chat.completions.create(model="no-such-model", messages=ASKED)
    assert upstream.books() == []
    wrong = httpx2.put(f"{web.url}/v1/messages", headers={"X-API-Key": "x"}, trust_env=False)
    assert (wrong.status_code, wrong.json()["type"]) == (405, "error")
    assert wrong.headers["request-id"] == wrong.json()["request_id"]


@pytest.mark.parametrize("fault", ["cut_midway", "stream_error"])
def test_a_stream_that_breaks_off_ends_with_an_error_event(claude, upstream, fault):
    upstream.configure(faults=[{"kind": fault}])
    stream = claude.messages.create(stream=True, **WISH)
    read: list[Any] = []

    with pytest.raises(anthropic.APIStatusError) as broken:
        read.extend(stream)

    assert read[0].type == "message_start"
    assert broken.value.body["type"] == "error"
    job = job_of(stream.response).wait_for("completed")
    assert job.statuses() == {"failed": 1}


def test_tokens_are_counted_by_the_provider_and_cost_nothing(claude, upstream):
    assert claude.messages.count_tokens(model=CLAUDE, messages=ASKED).input_tokens > 0
    assert claude.messages.count_tokens(model="simulated", messages=ASKED).input_tokens > 0
    with pytest.raises(anthropic.BadRequestError, match="thinking"):
        claude.messages.count_tokens(
            model=CLAUDE, messages=ASKED, thinking={"type": "enabled", "budget_tokens": 1_024}
        )
    assert upstream.books() == []


SAID = {
    "anthropic-version": "2099-01-01",
    "anthropic-beta": "context-1m-2025-08-07,fast-mode-2026-02-01",
    "anthropic-user-profile-id": "user-7",
}


def test_what_the_client_says_goes_to_the_provider(claude, upstream):
    upstream.configure(keep_requests=True)
    wish = {**WISH, "extra_headers": SAID}
    claude.messages.create(**wish)
    claude.messages.create(stream=True, **wish).close()
    claude.beta.messages.create(**wish)  # with ?beta=true
    claude.beta.messages.create(stream=True, **wish).close()
    wait_until(lambda: len(upstream.books()) == 4, what="four calls")
    for seen in upstream.books():
        assert SAID.items() <= seen["headers"].items()
    asked = {"model": CLAUDE, "messages": ASKED, "extra_headers": SAID}
    for counting in (claude.messages.count_tokens, claude.beta.messages.count_tokens):
        told = {name.lower(): text for name, text in counting(**asked).model_extra["told"].items()}
        assert SAID.items() <= told.items()
    assert len(list(claude.beta.models.list())) == len(list(claude.models.list()))


def test_what_no_request_can_carry_is_refused(claude, upstream):
    with pytest.raises(anthropic.BadRequestError, match="anthropic-beta"):
        claude.messages.create(**WISH, extra_headers={"anthropic-beta": "x" * 2_001})
    assert upstream.books() == []


def test_a_body_may_be_compressed(web, running, upstream):
    posted = partial(httpx2.post, headers={"X-API-Key": running.key}, trust_env=False)
    plain = json.dumps(WISH).encode()
    for coding, body in (
        ("gzip", gzip.compress(plain)),
        ("deflate", zlib.compress(plain)),
        ("zstd", zstd.compress(plain)),
        ("br, gzip", gzip.compress(brotli.compress(plain))),
    ):
        coded = {"X-API-Key": running.key, "Content-Type": "application/json", "Content-Encoding": coding}
        for path in ("/v1/messages", "/v1/chat/completions", "/v1/messages/count_tokens"):
            answered = posted(web.url + path, content=body, headers=coded)
            assert answered.status_code == 200, answered.text
        cut = posted(f"{web.url}/v1/messages", content=body[:-9], headers=coded)
        assert cut.json()["error"]["details"]["error_code"] == "request_body_encoding_invalid"
    bomb = gzip.compress(gzip.compress(b" " * 100_000_000))
    coded |= {"Content-Encoding": "gzip, gzip"}
    burst = posted(f"{web.url}/v1/messages", content=bomb, headers=coded)
    assert burst.status_code == 413
    assert burst.json()["error"]["details"]["error_code"] == "request_body_too_large_after_decoding"


def test_models_are_listed_in_the_shape_of_either_api(claude, gpt):
    pages = [model.id for model in claude.models.list(limit=3)]
    assert pages == [model.id for model in gpt.models.list()]
    assert {CLAUDE, "simulated"} < set(pages)
    assert len(set(pages)) == len(pages) > 3
    backwards = claude.models.list(limit=3, before_id=pages[-1])
    assert [model.id for model in backwards.data] == pages[-4:-1]
    assert claude.models.retrieve(CLAUDE).display_name == "Claude Haiku 4.5"
    assert gpt.models.retrieve(CLAUDE).owned_by == "anthropic"
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("no-such-model")
    with pytest.raises(openai.NotFoundError):
        gpt.models.retrieve("no-such-model")


def test_a_call_is_found_by_its_id_and_is_in_no_list(claude, web, running):
    response = claude.messages.with_raw_response.create(model="simulated", max_tokens=9, messages=ASKED)
    job = job_of(response).wait_for("completed")

    assert web.get(f"/api/v1/jobs/{job.uid}", running.key).json()["counts"]["succeeded"] == 1
    listed = web.get("/api/v1/jobs", running.key).json()["data"]
    assert str(job.uid) not in [one["id"] for one in listed]


def test_twenty_calls_go_before_a_batch_of_thousands(web, running, upstream):
    model = "claude-opus-4-6"
    in_transaction(lambda session: allowances.put(session, registry.limit_group(model), {"requests": 900}))
    batch = running.submit(({"prompt": f"Prompt {number}"} for number in range(3_000)), model=model)
    batch.wait_until_ended(10)
    before = batch.ended()

    def ask(number: int) -> str:
        with anthropic.Anthropic(base_url=web.url, api_key=running.key, max_retries=0, timeout=60) as client:
            asked = [{"role": "user", "content": f"Question {number}"}]
            return client.messages.create(model=model, max_tokens=50, messages=asked).content[0].text

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))

    assert len(answers) == 20
    assert batch.ended() - before < 60  # it takes its turns meanwhile, and goes on
    batch.wait_until_ended(before + 61)
    act(running.tenant_id, str(batch.uid), lifecycle.cancel)
    batch.wait_for("cancelled")


def test_a_caller_who_leaves_takes_a_call_along_that_has_not_left(web, running, upstream):
    with hold(CLAUDE), httpx2.Client(trust_env=False, timeout=1.5) as client:
        with pytest.raises(httpx2.ReadTimeout):
            client.post(f"{web.url}/v1/messages", json=WISH, headers={"X-API-Key": running.key})
        job = newest()
        job.wait_for("cancelled")
    assert upstream.books() == []


def test_a_call_that_has_left_is_written_down_though_its_caller_has_gone(web, running, upstream):
    upstream.configure(latency_ms=2_500)
    with httpx2.Client(trust_env=False, timeout=1.5) as client, pytest.raises(httpx2.ReadTimeout):
        client.post(f"{web.url}/v1/messages", json=WISH, headers={"X-API-Key": running.key})

    job = newest().wait_for("completed")
    assert job.statuses() == {"succeeded": 1}


def test_a_held_group_is_told_at_once(claude, running, upstream):
    limiter().hold(registry.limit_group(CLAUDE), "provider: rate_limited", seconds=50, every=50)
    try:
        with pytest.raises(anthropic.RateLimitError, match="rate_limited") as refused:
            claude.messages.create(**WISH)
    finally:
        limiter().clear(registry.limit_group(CLAUDE))
    assert 1 <= int(refused.value.response.headers["Retry-After"]) <= 30


@contextmanager
def hold(model: str) -> Iterator[None]:
    """The model's group takes no calls for a few seconds, which a caller waits for."""
    limiter().hold(registry.limit_group(model), "provider: overloaded", seconds=4.5, every=4.5)
    try:
        yield
    finally:
        limiter().clear(registry.limit_group(model))


def newest() -> Running:
    with reading() as session:
        job = session.scalars(select(Job).order_by(Job.id.desc()).limit(1)).one()
    return Running(job.id, job.uid, created=True)


@pytest.mark.parametrize("model", ["simulated", CLAUDE])
def test_a_chat_completion_is_answered_and_streamed(gpt, upstream, model):
    whole = gpt.chat.completions.create(model=model, messages=ASKED)
    chunks = list(gpt.chat.completions.create(model=model, messages=ASKED, stream=True))
    asked = {"model": model, "messages": ASKED, "stream": True}
    counted = list(gpt.chat.completions.create(**asked, stream_options={"include_usage": True}))

    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    said = whole.choices[0].message.content
    assert streamed.partition(" to: ")[2] == said.partition(" to: ")[2] != ""
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    assert counted[-1].usage.total_tokens == whole.usage.total_tokens


def test_a_response_is_answered_and_streamed(gpt):
    whole = gpt.responses.create(model="simulated", input="Why is the sky blue?")
    with gpt.responses.stream(model="simulated", input="Why is the sky blue?") as stream:
        said = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        last = stream.get_final_response()

    assert "sky" in whole.output_text
    assert said == last.output_text == whole.output_text


def test_embeddings_are_answered(gpt):
    found = gpt.embeddings.create(model="simulated", input=["one", "two"])

    assert [one.index for one in found.data] == [0, 1]
    assert found.usage.prompt_tokens > 0


def test_a_model_without_such_an_endpoint_is_named(gpt):
    with pytest.raises(openai.NotFoundError, match="/v1/messages"):
        gpt.responses.create(model=CLAUDE, input="Why is the sky blue?")
