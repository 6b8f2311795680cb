"""Time limits of the batch processor, what its estimates make of them, and outputs that are invented."""

import asyncio
import datetime as dt
import json
import re
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from app.core.limits.limiter import CallTerms, limiter
from app.core.pipeline import claims
from app.core.requests import job_context
from app.core.requests.build import build
from app.errors import ServerFault
from app.providers.client import RateLimits
from app.providers.simulated import SimulatedClient
from config import settings
from models import Window
from models.job import Job
from models.session import in_transaction, reading
from tasks import advance
from tests.support.front_door import Door, Worker, number_of

pytestmark = pytest.mark.one_database

PATH = "/api/batch-processor"
PRINTED = {  # the first request of the contract's document
    "data": [{"input": [1, 2, 3, 4, 5]}, {"input": [6, 7, 8, 9, 10]}],
    "priority": "normal",
    "batch_id": "optional-batch-id",
    "timeout_ms": 5000,
    "metadata": {"model_id": "model-v1.0", "user_id": "user123"},
}
INPUTS = [{"input": [1.0, 2.0]}, {"input": [3.0, 4.0]}]


@pytest.fixture
def configure(environment, monkeypatch):
    """Sets variables, before the door is opened or after."""

    def put(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        settings.current.cache_clear()

    put(INFERENCE_URL="", INFERENCE_MODEL="", DEFAULT_MODEL="simulated", SIMULATED_REQUESTS_PER_MINUTE="60")
    return put


@pytest.fixture
def door(configure) -> Door:
    return Door()


def submit(door: Door, data: Any, status: int = 200, **fields: Any) -> dict[str, Any]:
    if isinstance(data, int):
        data = [{"prompt": f"Say {number}"} for number in range(data)]
    response = door.post(f"{PATH}/submit", json={"data": data, **fields})
    assert response.status_code == status, response.text
    return {**response.get_json(), "id": response.headers.get("Penstock-Job")}


def get(door: Door, path: str) -> dict[str, Any]:
    response = door.get(f"{PATH}/{path}")
    assert response.status_code == 200, response.text
    return response.get_json()


def row(batch: dict[str, Any]) -> Job:
    with reading() as session:
        return session.get_one(Job, number_of(batch))


def seconds_left(told: dict[str, Any]) -> float:
    end = dt.datetime.fromisoformat(told["estimated_completion_time"])
    return (end - dt.datetime.now(dt.UTC)).total_seconds()


# --- time limits


@pytest.mark.parametrize(
    ("data", "asked", "limit"),
    [
        (2, {}, 300_000),
        ([{"messages": [{"role": "user", "content": "Why?"}]}], {}, 300_000),
        (INPUTS, {}, 5_000),
        (2, {"timeout_ms": 5_000}, 5_000),
        (INPUTS, {"timeout_ms": 300_000}, 300_000),
    ],
)
def test_a_time_limit_that_nobody_sets_is_that_of_its_kind_of_item(door, data, asked, limit):
    assert row(submit(door, data, **asked)).time_limit_ms == limit


def test_a_time_limit_that_the_estimate_exceeds_is_kept_and_said_so(door):
    # When 300 prompts at 60 a minute may take a minute
    batch = submit(door, 300, timeout_ms=60_000)

    # Then the limit stays, and both figures are told, with what to do
    assert row(batch).time_limit_ms == 60_000
    [(takes, limit)] = re.findall(
        r"estimated to take ([\d,]+) ms .* time limit is ([\d,]+) ms", batch["warning"]
    )
    assert limit == "60,000"
    assert 200_000 < int(takes.replace(",", "")) < 400_000
    assert "larger timeout_ms (up to 300,000), or submit fewer items" in batch["warning"]

    # And the estimate is no later than the limit lets the batch run
    assert 30 < seconds_left(batch) <= 60
    assert 30 < seconds_left(get(door, f"status/{batch['batch_id']}")) <= 60


def test_the_time_limit_does_not_count_the_wait_for_a_minute_that_is_used_up(door):
    # Given a minute whose calls have all left
    used_up = CallTerms("simulated", 99, RateLimits(requests=60), unended=60)
    assert limiter().take(used_up, 1, 60).count == 60

    # When one more item comes, then it is estimated to end within a minute, and in time
    told = submit(door, [{"prompt": "Say something"}], timeout_ms=5_000)
    assert "time limit" not in told["warning"]
    assert 50 < seconds_left(told) < 70


def test_prompts_beyond_the_longest_time_limit_are_told_to_come_in_parts(door):
    batch = submit(door, 1_000)
    assert "its time limit is 300,000 ms" in batch["warning"]
    assert "answered, submit fewer items" in batch["warning"]
    assert 240 < seconds_left(batch) <= 300


def test_a_time_limit_that_is_long_enough_is_nothing_to_warn_of(door):
    for batch in (submit(door, 3, timeout_ms=60_000), submit(door, INPUTS)):
        assert "time limit" not in batch["warning"]
        assert seconds_left(batch) <= 60


def test_the_estimate_counts_the_time_limit_from_the_first_call(door):
    # Given a batch of which a worker asks the first item
    batch, worker = submit(door, 300, timeout_ms=60_000), Worker()
    number = number_of(batch)
    advance.run(number)
    with reading() as session:
        window = session.scalars(select(Window).where(Window.job_id == number)).first()
    taken = partial(
        claims.take, window_id=window.id, epoch=window.epoch, lease_id=worker.lease_id, limit=1, calls=1
    )
    assert len(in_transaction(taken).claims) == 1
    first_call = dt.datetime.now(dt.UTC)

    # Then the end is estimated for when the limit is over, however often one asks
    ends = {get(door, f"status/{batch['batch_id']}")["estimated_completion_time"] for _ in range(3)}
    assert len(ends) == 1
    end = dt.datetime.fromisoformat(ends.pop())
    assert abs((end - first_call).total_seconds() - 60) < 10


def test_a_batch_that_waits_for_another_to_end_has_its_time_limit_after_that(door, configure):
    # Given that one batch runs at a time
    configure(MAX_CONCURRENT_BATCHES="1")
    advance.run(number_of(submit(door, 300)))

    # When another comes, whose first call leaves only then
    batch = submit(door, 200, timeout_ms=5_000)

    # Then the estimate adds the limit to the wait, and the wait does not count against the limit
    assert 100 < seconds_left(batch) < 300
    takes = int(re.findall(r"estimated to take ([\d,]+) ms", batch["warning"])[0].replace(",", ""))
    assert takes < 250_000
    assert 100 < seconds_left(get(door, f"status/{batch['batch_id']}")) < 300


# --- outputs that are invented


def test_without_an_inference_server_inputs_are_answered_by_invention_that_says_so(door):
    # When the document's first request is sent to a stack without an inference server
    batch = submit(door, **PRINTED)

    # Then it is taken, and told who answers, who does not, and what would change that
    assert row(batch).model == "simulated"
    for word in ("'simulated' invents", "'model-v1.0' is not asked", "INFERENCE_URL"):
        assert word in batch["warning"]

    # When one item is answered and one fails
    worker = Worker()
    request = {"model": "simulated", "input": PRINTED["data"][0]["input"]}
    reply = asyncio.run(SimulatedClient().ask(request, deadline=5, attempt=1))
    worker.end(batch, [0], answer=reply.body)
    worker.end(batch, [1], error=("timeout", "no answer"))
    advance.run(number_of(batch))

    # Then the results are marked, one by one and as a whole
    results = get(door, "results/optional-batch-id")
    good, bad = results["results"]
    assert good["simulated"] is True
    assert good["confidence"] == max(good["output"])
    assert len(good["output"]) == 3
    assert sum(good["output"]) == pytest.approx(1)
    assert (bad["output"], "simulated" in bad) == (None, False)
    assert results["metadata"]["model"] == "simulated"
    assert results["metadata"]["warning"] == batch["warning"]

    # And through another contract the text is
    text = door.get("/batch_status/optional-batch-id").get_json()["results"][0]["response"]["result"]
    assert text.startswith("[simulated] ")
    assert json.loads(text.removeprefix("[simulated] ")) == good["output"]


def test_an_inference_server_is_never_replaced_by_invention(door, configure):
    refused = submit(door, INPUTS, 422, metadata={"model_id": "inference:fraud"})
    assert "INFERENCE_URL" in refused["message"]
    configure(INFERENCE_MODEL="fraud")
    assert "INFERENCE_URL" in submit(door, INPUTS, 422)["message"]
    configure(INFERENCE_MODEL="", INFERENCE_URL="http://127.0.0.1:9")
    assert "INFERENCE_MODEL" in submit(door, INPUTS, 422)["message"]

    # When there is one, then only who asks for it by name gets what is invented
    real = submit(door, INPUTS, metadata={"model_id": "model-v1.0"})
    assert (row(real).model, "warning" in real) == ("inference:model-v1.0", False)
    answer = {"type": "inference", "model": "m", "model_version": "1", "output": [0.5, 0.5], "confidence": 1}
    Worker().end(real, [0, 1], answer=json.dumps(answer).encode(), model="inference:model-v1.0")
    results = get(door, f"results/{real['batch_id']}?partial=true")
    assert all("simulated" not in one for one in results["results"])
    assert (results["metadata"]["model"], "warning" in results["metadata"]) == ("inference:model-v1.0", False)
    assert row(submit(door, INPUTS, metadata={"model_id": "simulated"})).model == "simulated"


def test_a_job_of_the_native_contract_may_have_inputs_of_the_simulated_model(door):
    wishes = {"simulate": {"error": "server_error"}}
    job = door.submit([{"input": [1, 2]}, {"prompt": "Why?"}, {"input": "text"}], params=wishes)
    assert (job["model"], job["total"]) == ("simulated", 3)
    asked = build(job_context.of(number_of(job)), b'{"input":[1,2]}', None, [])
    assert asked == {"model": "simulated", "input": [1, 2], **wishes}
    with pytest.raises(ServerFault):
        asyncio.run(SimulatedClient().ask(asked, deadline=5, attempt=1))

    # But one of a model that takes none is told which do
    refused = door.post_records([{"input": [1]}], model="claude-haiku-4-5")
    assert "`inference:NAME` of an inference server, or `simulated`" in refused.get_json()["error"]["message"]
