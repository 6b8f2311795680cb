"""One call at a time, through the official SDKs: answered, streamed and refused as their APIs do."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import anthropic
import httpx2
import openai
import pytest
from sqlalchemy import select

from models import Attempt, Job, Record, RecordStatus
from models.session import reading
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
        job = session.scalars(select(Job).where(Job.uid == response.headers["Penstock-Job"])).one()
    return Running(job.id, job.uid, created=True)


@pytest.mark.parametrize("model", ["simulated", CLAUDE])
def test_a_message_is_answered_and_in_the_books(claude, upstream, model):
    response = claude.messages.with_raw_response.create(model=model, max_tokens=100, messages=ASKED)
    message = response.parse()

    assert "sky" in message.content[0].text
    assert response.headers["request-id"] == response.headers["x-request-id"] == message._request_id
    job = job_of(response).wait_for("completed")
    [attempt] = job.attempts()
    assert (attempt.state, attempt.output_tokens) == ("answered", message.usage.output_tokens)
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
    assert [attempt.state for attempt in job.attempts()] == ["answered"]


def test_events_come_while_the_answer_is_being_written(claude):
    wish = {"simulate": {"latency_ms": 2_000, "output_tokens": 100}}
    with claude.messages.stream(
        model="simulated", max_tokens=200, messages=ASKED, extra_body=wish
    ) as stream:
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


def test_a_stream_that_the_provider_cuts_ends_with_an_error_event(claude, upstream):
    upstream.configure(
        output_tokens=60, interval_ms=20, faults=[{"kind": "cut_stream", "first": 1}]
    )
    stream = claude.messages.create(stream=True, **WISH)

    with pytest.raises(anthropic.APIStatusError, match="the connection|the stream"):
        for _ in stream:
            pass

    job = job_of(stream.response).wait_for("completed")
    assert job.statuses() == {"failed": 1}
    assert [attempt.state for attempt in job.attempts()] == ["unconfirmed"]


def test_tokens_are_counted_by_the_provider_and_cost_nothing(claude, upstream):
    assert claude.messages.count_tokens(model=CLAUDE, messages=ASKED).input_tokens > 0
    assert claude.messages.count_tokens(model="simulated", messages=ASKED).input_tokens > 0
    with pytest.raises(anthropic.BadRequestError, match="thinking"):
        claude.messages.count_tokens(
            model=CLAUDE, messages=ASKED, thinking={"type": "enabled", "budget_tokens": 1_024}
        )
    assert upstream.books() == []


def test_models_are_listed_in_the_shape_of_either_api(claude, gpt):
    pages = [model.id for model in claude.models.list(limit=3)]
    assert pages == [model.id for model in gpt.models.list()]
    assert CLAUDE in pages and "simulated" in pages and len(set(pages)) == len(pages) > 3
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


def test_a_caller_who_leaves_takes_a_call_that_has_not_left_along(web, running, upstream):
    held = running.submit([{"prompt": "x"}], model=CLAUDE)  # only so that the group is known
    held.wait_for("completed")
    gone = threading.Event()

    body = json.dumps(WISH | {"model": "simulated", "simulate": {"latency_ms": 60_000}})
    with httpx2.Client(trust_env=False, timeout=1.5) as client:
        with pytest.raises(httpx2.ReadTimeout):
            client.post(
                f"{web.url}/v1/messages",
                content=body,
                headers={"X-API-Key": running.key, "Content-Type": "application/json"},
            )
    gone.set()
    with reading() as session:
        job = session.scalars(select(Job).order_by(Job.id.desc()).limit(1)).one()
        record = session.scalars(select(Record).where(Record.job_id == job.id)).one()
    assert record.status == RecordStatus.RUNNING  # it has left, so it is written down when it ends


def test_twenty_calls_go_before_a_batch_of_thousands(web, running, upstream):
    upstream.configure(latency_ms=50)
    batch = running.submit(
        ({"prompt": f"Prompt {number}"} for number in range(3_000)), model="claude-sonnet-4-5"
    )
    batch.wait_until_ended(10)

    def ask(number: int) -> str:
        with anthropic.Anthropic(base_url=web.url, api_key=running.key, max_retries=0, timeout=60) as client:
            asked = [{"role": "user", "content": f"Question {number}"}]
            answer = client.messages.create(model="claude-sonnet-4-5", max_tokens=50, messages=asked)
            return answer.content[0].text

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))

    assert len(answers) == 20
    assert batch.ended() < 3_000
    batch.wait_until_ended(3_000)
    with reading() as session:
        found = session.scalars(select(Attempt).where(Attempt.job_id == batch.id)).all()
    assert len(found) == 3_000
