"""What happens to somebody who waits for an answer when a part of Penstock is gone."""

import time
from concurrent.futures import ThreadPoolExecutor

import anthropic
import pytest
from sqlalchemy import func, select

from app.core.accounts import quotas
from app.services import attended
from models import Job, Record, RecordStatus
from models.session import in_transaction, reading
from tests.support.front_door import Door
from tests.support.servers import wait_until
from tests.support.stack import Running, redis_away
from tests.support.web_process import web_process

pytestmark = pytest.mark.one_database

ASKED = [{"role": "user", "content": "Why is the sky blue?"}]
SLOW = {
    "model": "simulated",
    "max_tokens": 500,
    "messages": ASKED,
    "simulate": {"latency_ms": 30_000, "output_tokens": 400},
}


def test_a_killed_worker_ends_its_stream_with_an_error_event(stack, monkeypatch):
    monkeypatch.setattr(attended, "DEAD", 3.0)
    stack.start()
    response = Door("acme").post("/v1/messages", json=SLOW | {"stream": True})
    events = response.iter_encoded()
    assert b"message_start" in next(events)

    stack.nodes[0].kill()

    rest = b"".join(events)
    assert rest.count(b"event: error") == 1
    assert rest.endswith(b"\n\n")
    assert b'"type": "api_error"' in rest.rpartition(b"event: error")[2]


@pytest.mark.long
def test_a_whole_answer_comes_from_another_worker_when_the_first_is_killed(stack):
    stack.start()
    door = Door("acme")

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(door.post, "/v1/messages", json=SLOW | {"simulate": {"latency_ms": 5_000}})
        wait_until(lambda: running() == 1, what="the call has left")
        stack.nodes[0].kill()
        stack.start_slices()
        answer = asked.result(timeout=120)

    assert answer.status_code == 200
    assert [attempt.outcome for attempt in newest().wait_for("completed").attempts()] == [
        "unconfirmed",
        "answered",
    ]


def test_without_redis_nothing_is_stored_and_the_caller_is_told(environment):
    door = Door("acme")
    with redis_away():
        for stream in (False, True):
            refused = door.post("/v1/messages", json=SLOW | {"stream": stream})
            assert (refused.status_code, refused.get_json()["error"]["type"]) == (503, "api_error")
            assert "Redis" in refused.get_json()["error"]["message"]
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0


def test_what_is_useless_to_repeat_for_an_hour_says_so(environment):
    door = Door("acme")
    in_transaction(lambda session: quotas.change(session, "acme", {"records_per_hour": 0}))

    refused = door.post("/v1/messages", json=SLOW)

    assert (refused.status_code, refused.get_json()["error"]["type"]) == (429, "rate_limit_error")
    assert refused.headers["X-Should-Retry"] == "false"


def test_a_body_that_is_not_json_is_a_400_in_the_shape_of_its_api(environment):
    door = Door("acme")
    for path, shape in (("/v1/messages", {"type", "error", "request_id"}), ("/v1/responses", {"error"})):
        refused = door.post(path, data="{", content_type="application/json")
        assert (refused.status_code, set(refused.get_json())) == (400, shape)


def running() -> int:
    with reading() as session:
        found = select(func.count()).select_from(Record).where(Record.status == RecordStatus.RUNNING)
        return session.scalar(found) or 0


def newest() -> Running:
    with reading() as session:
        job = session.scalars(select(Job).order_by(Job.id.desc()).limit(1)).one()
    return Running(job.id, job.uid, created=True)


@pytest.mark.long
def test_a_worker_that_is_killed_ends_its_streams_and_the_call_is_in_the_books(stack, tmp_path):
    stack.start()
    wish = {"simulate": {"latency_ms": 60_000, "output_tokens": 1_000}}
    with (
        web_process(stack.environment, tmp_path) as served,
        anthropic.Anthropic(base_url=served.url, api_key=stack.key, max_retries=0) as client,
    ):
        events = client.messages.create(
            model="simulated", max_tokens=2_000, messages=ASKED, stream=True, extra_body=wish
        )
        next(events)
        stack.nodes[0].kill()
        began = time.monotonic()
        with pytest.raises(anthropic.APIStatusError, match="ended"):
            list(events)
        assert time.monotonic() - began < 30
        stack.start_slices()
        job = newest().wait_for("completed")
    assert job.statuses() == {"failed": 1}
    # Nothing is sent a second time: what was read of the stream cannot be taken back.
    assert [attempt.outcome for attempt in job.attempts()] == ["unconfirmed", "unsent"]
