"""Message Batches, made, followed, paged, read, cancelled and deleted by the official SDK over HTTP."""

import asyncio
import datetime as dt
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import anthropic
import brotli
import httpx2
import pytest
from backports import zstd
from sqlalchemy import update

from app.core import batch_ids
from app.core.limits.limiter import limiter
from app.providers import registry
from config import settings
from models.job import Job, JobStatus
from models.session import in_transaction
from tests.support.lost_answers import lossy_proxy
from tests.support.openai_upstream import OpenAIUpstream
from tests.support.servers import wait_until
from tests.support.shared_stack import Service, running_service
from tests.support.web_process import WebProcess, response, web_process

BATCHES = "/v1/messages/batches"
REFUSED, HANGING = "Refuse this, please.", "Hang on this, please."
PACKED = {"content-type": "application/json", "content-encoding": "gzip"}
EVERY_KEY = {
    "id", "type", "processing_status", "request_counts", "created_at", "expires_at", "ended_at",
    "cancel_initiated_at", "archived_at", "results_url", "penstock",
}  # fmt: skip


@dataclass
class House:
    """A running Penstock, its web process, and clients of it."""

    service: Service
    web: WebProcess

    def client(self, url: str = "", **options: Any) -> anthropic.Anthropic:
        key = options.pop("api_key", self.service.door.key)
        return anthropic.Anthropic(base_url=url or self.web.url, api_key=key, **options)

    def raw(self, method: str, path: str, **request: Any) -> httpx2.Response:
        headers = {"x-api-key": self.service.door.key, "anthropic-version": "2023-06-01"}
        headers |= request.pop("headers", {})
        url = self.web.url + path
        return httpx2.request(method, url, headers=headers, timeout=30, trust_env=False, **request)


@pytest.fixture(scope="module")
def house(request, upstream_process, tmp_path_factory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("batches")
    with (
        OpenAIUpstream() as other,
        running_service(
            request,
            upstream_process,
            folder,
            OPENAI_API_KEY="sk-test",
            OPENAI_BASE_URL=other.url,
            DEFAULT_MODEL="inference:none",  # whose server no variable names: nothing can be asked of it
        ) as service,
        web_process({}, folder) as web,
    ):
        yield House(service, web)


@pytest.fixture(autouse=True)
def _provider(upstream_process) -> None:
    upstream_process.reset()
    upstream_process.configure(
        keep_requests=True,
        faults=[
            {"kind": "status", "status": 400, "matching": "Refuse this"},
            {"kind": "hang", "matching": "Hang on"},
        ],
    )


@pytest.fixture
def client(house) -> Iterator[anthropic.Anthropic]:
    with house.client() as made:
        yield made


def requests(texts: Sequence[str], **params: Any) -> list[Any]:
    return [
        {
            "custom_id": f"own-{number}",
            "params": {
                "model": "claude-haiku-4-5",
                "max_tokens": 64,
                "messages": [{"role": "user", "content": text}],
                **params,
            },
        }
        for number, text in enumerate(texts)
    ]


def has_ended(client: anthropic.Anthropic, batch: Any) -> bool:
    return client.messages.batches.retrieve(batch.id).processing_status == "ended"


def wait_for_end(client: anthropic.Anthropic, batch: Any) -> Any:
    wait_until(lambda: has_ended(client, batch), what="the batch has ended")
    return client.messages.batches.retrieve(batch.id)


def results(client: anthropic.Anthropic, batch: Any) -> dict[str, Any]:
    return {one.custom_id: one.result for one in client.messages.batches.results(batch.id)}


def test_a_batch_is_made_followed_and_read_by_the_official_client(house, client):
    # When
    made = client.messages.batches.create(requests=requests(["One?", REFUSED, "Two?"]))

    # Then it has every field of the contract, and its time is a day
    assert set(made.to_dict()) == EVERY_KEY
    assert made.processing_status == "in_progress"
    assert made.expires_at - made.created_at == dt.timedelta(days=1)
    ended = wait_for_end(client, made)
    assert ended.request_counts.to_dict() == {
        "processing": 0, "succeeded": 2, "errored": 1, "canceled": 0, "expired": 0,
    }  # fmt: skip
    assert ended.ended_at is not None
    found = results(client, made)
    assert found["own-0"].message.content[0].text.endswith("to: One?")
    assert found["own-0"].message.usage.output_tokens > 0
    error = found["own-1"].error
    assert (error.type, error.error.type) == ("error", "invalid_request_error")
    assert error.error.message
    assert float(ended.penstock["cost"]) > 0
    assert ended.penstock["usage"]["input_tokens"] > 0


def test_the_same_batch_has_its_id_at_every_door(house, client):
    made = client.messages.batches.create(requests=requests(["Everywhere?"]))
    uid = made.penstock["job_id"]

    for name in (made.id, uid, made.id.replace("msgbatch_", "batch_")):
        assert house.service.door.get(f"/api/v1/jobs/{name}").get_json()["id"] == uid
        assert client.messages.batches.retrieve(name).id == made.id


def test_results_can_be_read_while_the_batch_runs_and_cancelling_keeps_every_answer(client):
    made = client.messages.batches.create(requests=requests(["One?", "Two?", HANGING]))
    wait_until(lambda: len(results_so_far(client, made)) == 2, what="two answers")
    running = client.messages.batches.retrieve(made.id)
    assert (running.processing_status, running.request_counts.processing) == ("in_progress", 1)

    # When
    cancelled = client.messages.batches.cancel(made.id)

    # Then
    assert cancelled.processing_status in ("canceling", "ended")
    assert cancelled.cancel_initiated_at is not None
    ended = wait_for_end(client, made)
    assert (ended.request_counts.succeeded, ended.request_counts.canceled) == (2, 1)
    found = results(client, made)
    assert {name: one.type for name, one in found.items()} == {
        "own-0": "succeeded", "own-1": "succeeded", "own-2": "canceled",
    }  # fmt: skip


def results_so_far(client: anthropic.Anthropic, batch: Any) -> dict[str, Any]:
    try:
        return results(client, batch)
    except anthropic.AnthropicError:  # no results_url before the first result
        return {}


def test_the_asynchronous_client_works_too(house):
    async def walk() -> tuple[set[str], set[str]]:
        async with anthropic.AsyncAnthropic(base_url=house.web.url, api_key=house.service.door.key) as client:
            made = {
                (await client.messages.batches.create(requests=requests(["Async?"]))).id for _ in range(3)
            }
            listed = {batch.id async for batch in client.messages.batches.list(limit=1)}
            for name in made:
                while (await client.messages.batches.retrieve(name)).processing_status != "ended":
                    await asyncio.sleep(0.02)
                async for one in await client.messages.batches.results(name):
                    assert one.result.type == "succeeded"
            return made, listed

    made, listed = asyncio.run(asyncio.wait_for(walk(), 30))

    assert made <= listed


@pytest.mark.parametrize("count", [4_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_the_webs_memory_is_bounded_however_large_a_batch_is(house, count):
    # Given a batch of 4,000 requests that are 40 MB as JSON
    text = "x" * (10_000 if count == 4_000 else 1_000)
    [one] = requests([text], model="simulated")
    parts = (json.dumps({**one, "custom_id": f"n-{number}"}).encode() for number in range(count))
    body = b'{"requests": [' + b", ".join(parts) + b"]}"
    house.web.forget_peak()
    before = house.web.resident_bytes()

    # When
    answer = house.raw("POST", BATCHES, content=gzip.compress(body, 1), headers=PACKED)

    # Then the process has held a small part of it
    assert answer.status_code == 200, answer.text
    assert answer.json()["request_counts"]["processing"] > 0
    assert house.web.peak_bytes() - before < 60_000_000
    house.raw("POST", f"{BATCHES}/{answer.json()['id']}/cancel")


def test_a_list_is_paged_in_both_directions(client):
    made = [client.messages.batches.create(requests=requests([f"Number {n}?"])).id for n in range(5)]
    newest_first = made[::-1]

    onwards = [batch.id for batch in client.messages.batches.list(limit=2)]
    back = [batch.id for batch in client.messages.batches.list(limit=2, before_id=made[0])]
    behind = client.messages.batches.list(limit=2, after_id=made[-1])

    assert onwards[:5] == newest_first
    assert len(set(onwards)) == len(onwards)
    # Each page is newest first, and each is newer than the one before it.
    assert back == [made[2], made[1], made[4], made[3]]
    assert [batch.id for batch in behind.data] == newest_first[1:3]
    assert behind.has_more
    assert client.messages.batches.list(limit=1000).has_more is False


def test_a_batch_is_deleted_once_it_has_ended(client):
    made = client.messages.batches.create(requests=requests([HANGING]))
    with pytest.raises(anthropic.BadRequestError, match="cancel it before"):
        client.messages.batches.delete(made.id)
    client.messages.batches.cancel(made.id)
    wait_for_end(client, made)
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve("msgbatch_unknown")

    deleted = client.messages.batches.delete(made.id)

    assert (deleted.id, deleted.type) == (made.id, "message_batch_deleted")
    with pytest.raises(anthropic.NotFoundError) as refusal:
        client.messages.batches.retrieve(made.id)
    assert refusal.value.body["error"]["type"] == "not_found_error"
    assert refusal.value.request_id
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.cancel(made.id)


def test_bad_params_are_errored_results_of_their_own_and_are_never_asked(house, client, upstream_process):
    bad = {
        "no-model": {"model": None},
        "unknown": {"model": "nobody-knows"},
        "misspelt": {"model": "claude-hiaku-4-5"},
        "none": {"max_tokens": 0},
        "streamed": {"stream": True},
        "fast": {"speed": "fast"},
        "other": {"model": "simulated"},
        "empty": {"messages": []},
        "blank": {"messages": [{"role": "user", "content": "  "}]},
        "mine": {"user_profile_id": "one"},
    }
    [good] = requests(["Good?"])
    asked = [good]
    for name, change in bad.items():
        params = {key: value for key, value in (good["params"] | change).items() if value is not None}
        asked.append({"custom_id": name, "params": params})

    made = client.messages.batches.create(requests=asked, user_profile_id="other")
    ended = wait_for_end(client, made)

    assert (ended.request_counts.succeeded, ended.request_counts.errored) == (1, len(bad))
    found = results(client, made)
    assert found["own-0"].type == "succeeded"
    told = {name: found[name].error.error for name in bad}
    assert {error.type for error in told.values()} == {"invalid_request_error"}
    for name, word in (("no-model", "model"), ("none", "max_tokens"), ("mine", "user_profile_id")):
        assert word in told[name].message
    assert [seen["text"] for seen in upstream_process.books()] == ["Good?"]
    # Every other door tells of them, too
    door, uid = house.service.door, ended.penstock["job_id"]
    records = door.get(f"/api/v1/jobs/{uid}/records").get_json()["data"]
    assert {record["error"]["message"] for record in records if record["error"]} == {
        error.message for error in told.values()
    }
    assert {record["cost"] for record in records if record["error"]} <= {None, "0.00"}
    for path in (
        f"/api/v1/jobs/{uid}/results?format=csv",
        f"/api/v1/jobs/{uid}/results?format=xlsx",
        f"/batch_status/{uid}",
        f"/api/batch-processor/results/{uid}",
        f"/api/batch/results?batchId={uid}",
    ):
        assert door.get(path).status_code == 200, path
    # And asking again what failed fails again, without a call
    assert door.post(f"/api/v1/jobs/{uid}/retry").status_code == 200
    assert wait_for_end(client, made).request_counts.errored == len(bad)
    assert len(upstream_process.books()) == 1


def test_a_batch_of_which_every_request_is_bad_ends_by_itself(house, client, upstream_process):
    # Given requests without a usable model, which are of the default model, and its group is held for an hour
    group = registry.limit_group(settings.current().default_model)
    limiter().hold(group, "account: no_key", seconds=3_600, every=3_600)

    made = client.messages.batches.create(requests=requests(["One?", "Two?"], max_tokens=0))

    ended = wait_for_end(client, made)
    assert ended.request_counts.errored == 2
    assert ended.penstock["cost"] == "0.00"
    assert all("max_tokens" in one.error.error.message for one in results(client, made).values())
    assert upstream_process.books() == []
    # And a retry of it fails again without a call
    assert house.service.door.post(f"/api/v1/jobs/{made.id}/retry").status_code == 200
    assert wait_for_end(client, made).request_counts.errored == 2


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"requests": []}, "requests"),
        ({}, "requests"),
        ([], "JSON object"),
        ({"requests": [*requests(["x"] * 7), {"custom_id": "a b", "params": {}}]}, "requests.7.custom_id"),
        ({"requests": [*requests(["x"]), *requests(["x"])]}, "requests.1.custom_id"),
        ({"requests": [{"custom_id": "a", "params": "text"}]}, "requests.0.params"),
        ({"requests": [{"custom_id": "a" * 65, "params": {}}]}, "requests.0.custom_id"),
        ({"requests": [{"custom_id": "a", "params": {}, "colour": 1}]}, "requests.0.colour"),
        ({"requests": requests(["x"]), "colour": 1}, "colour"),
        ({"requests": [7]}, "requests.0"),
    ],
)
def test_a_bad_envelope_is_a_400_that_names_its_place(house, body, place):
    answer = house.raw("POST", BATCHES, json=body)

    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert place in error["message"]
    assert answer.headers["request-id"] == answer.json()["request_id"] == answer.headers["x-request-id"]


def test_errors_have_anthropics_shape_and_the_class_of_the_official_client(house, client):
    with (
        house.client(api_key="pk_unknown_x") as nobody,
        pytest.raises(anthropic.AuthenticationError) as refusal,
    ):
        nobody.messages.batches.list()
    assert refusal.value.body["error"]["type"] == "authentication_error"
    reader = house.service.door.colleague("reader", scopes=("jobs:read",))
    with house.client(api_key=reader.key) as narrow, pytest.raises(anthropic.PermissionDeniedError):
        narrow.messages.batches.create(requests=requests(["x"]))
    with pytest.raises(anthropic.BadRequestError, match="limit"):
        client.messages.batches.list(limit=1001)
    with pytest.raises(anthropic.BadRequestError, match="after_id"):
        client.messages.batches.list(after_id="nonsense")
    made = client.messages.batches.create(requests=requests(["Over?"]))
    wait_for_end(client, made)
    with pytest.raises(anthropic.BadRequestError, match="completed"):
        client.messages.batches.cancel(made.id)
    for method, path, status, kind in (
        ("GET", "/v1/messages/nowhere/at/all", 404, "not_found_error"),
        ("PUT", BATCHES, 405, "invalid_request_error"),
    ):
        answer = house.raw(method, path)
        assert (answer.status_code, answer.json()["type"]) == (status, "error")
        assert answer.json()["error"]["type"] == kind
        assert answer.headers["request-id"]


def test_a_batch_that_is_still_being_read_is_a_conflict_worth_another_try(house):
    named = {"Idempotency-Key": "one-at-a-time"}
    with house.client(max_retries=0) as client:
        asked = requests(["Twice?"])
        made = client.messages.batches.create(requests=asked, extra_headers=named)
        set_status(made, JobStatus.STAGING)
        with pytest.raises(anthropic.ConflictError) as refusal:
            client.messages.batches.create(requests=asked, extra_headers=named)
        assert refusal.value.body["error"]["type"] == "conflict_error"
        assert int(refusal.value.response.headers["retry-after"]) == 1
        set_status(made, JobStatus.CANCELLED)
        again = client.messages.batches.create(requests=asked, extra_headers=named)
        assert again.id == made.id


def set_status(batch: Any, status: JobStatus) -> None:
    uid = batch_ids.read(batch.id)
    in_transaction(
        lambda session: session.execute(update(Job).where(Job.uid == uid).values(status=status)) and None
    )


def test_a_body_that_is_too_large_is_a_413(house):
    head = {
        "host": "localhost",
        "x-api-key": house.service.door.key,
        "content-length": str(2**29),
        "content-type": "application/json",
    }
    sent = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    with house.web.connect(f"POST {BATCHES} HTTP/1.1\r\n{sent}\r\n".encode()) as wire:
        first, body = response(wire)
    assert first.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["error"]["type"] == "request_too_large"


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("br", brotli.compress),
        ("zstd", zstd.compress),
        ("identity", bytes),
    ],
)
def test_a_body_may_be_compressed(house, client, coding, encode):
    body = encode(json.dumps({"requests": requests(["Packed?"])}).encode())
    headers = {"content-encoding": coding, "content-type": "application/json"}

    answer = house.raw("POST", BATCHES, content=body, headers=headers)

    assert answer.status_code == 200, answer.text
    assert client.messages.batches.retrieve(answer.json()["id"]).request_counts


def test_a_compressed_body_that_grows_without_end_or_is_none_is_refused(house):
    one = b'{"custom_id": "a", "params": {"x": "%b"}},' % (b"x" * 2**20)
    bomb = zstd.compress(b'{"requests": [') + zstd.compress(one) * 300
    sent = {
        "zstd": (bomb, 413, "request_body_too_large_after_decoding"),
        "gzip": (b"{}", 400, "request_body_encoding_invalid"),
        "br": (brotli.compress(b'{"requests": []}')[:-3], 400, "request_body_encoding_invalid"),
        "lzma": (b"{}", 400, "request_body_encoding_unsupported"),
    }
    for coding, (body, status, code) in sent.items():
        headers = {"content-encoding": coding, "content-type": "application/json"}
        answer = house.raw("POST", BATCHES, content=body, headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["details"]["error_code"] == code


def test_a_create_whose_answer_is_lost_makes_one_batch_and_two_deliberate_ones_make_two(house):
    with lossy_proxy(house.web.port) as proxy, house.client(proxy.url) as client:
        before = len(list(client.messages.batches.list(limit=1000)))
        proxy.to_lose = 1
        made = client.messages.batches.create(requests=requests(["Lost?"]))
        assert proxy.lost == 1
        assert [batch.id for batch in client.messages.batches.list(limit=1000)][: -before or None] == [
            made.id
        ]

        again = client.messages.batches.create(requests=requests(["Lost?"]))
        named = [
            client.messages.batches.create(
                requests=requests(["Named?"]), extra_headers={"Idempotency-Key": "mine"}
            )
            for _ in range(2)
        ]

        assert again.id != made.id
        assert named[0].id == named[1].id


def test_the_callers_version_and_betas_go_on_to_the_provider(house, client, upstream_process):
    headers = {"anthropic-beta": "message-batches-2024-09-24, output-300k-2026-03-24"}
    answer = house.raw("POST", f"{BATCHES}?beta=true", json={"requests": requests(["Old?"])}, headers=headers)
    new = client.beta.messages.batches.create(
        requests=requests(["New?"]), betas=["files-api-2025-04-14"], user_profile_id="mine"
    )
    wait_for_end(client, new)
    wait_until(lambda: len(upstream_process.books()) == 2, what="both were asked")
    [one] = client.beta.messages.batches.results(new.id)
    assert (one.custom_id, one.result.type) == ("own-0", "succeeded")
    assert new.id in {batch.id for batch in client.beta.messages.batches.list(limit=1000)}
    assert client.beta.messages.batches.retrieve(new.id).processing_status == "ended"
    assert client.beta.messages.batches.delete(new.id).id == new.id

    seen = {one["text"]: one["headers"] for one in upstream_process.books()}
    assert answer.status_code == 200
    assert seen["Old?"]["anthropic-version"] == "2023-06-01"
    assert seen["Old?"]["anthropic-beta"] == "output-300k-2026-03-24"
    assert seen["New?"]["anthropic-version"] == client.default_headers["anthropic-version"]
    assert "files-api-2025-04-14" in seen["New?"]["anthropic-beta"]
    assert seen["New?"]["anthropic-user-profile-id"] == "mine"
    assert seen["New?"].get("authorization", seen["New?"].get("x-api-key", "")).endswith("test-key")


def test_jobs_of_other_doors_are_batches_of_messages_too(house, client):
    door = house.service.door
    native = door.submit([{"prompt": "Native?"}, {"custom_id": "two", "prompt": "Invented?"}])
    wait_until(lambda: door.job(native)["status"] == "completed", what="it has ended")

    listed = next(iter(client.messages.batches.list(limit=1)))
    found = results(client, listed)

    assert listed.penstock["job_id"] == native["id"]
    assert {name: one.type for name, one in found.items()} == {"request-0": "succeeded", "two": "succeeded"}
    assert found["two"].message.content[0].text


def test_a_model_of_another_api_answers_in_messages(client):
    made = client.messages.batches.create(requests=requests(["Chat?"], model="gpt-4o-mini"))
    wait_for_end(client, made)

    message = results(client, made)["own-0"].message

    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    assert message.content[0].text.endswith("to: Chat?")
    assert message.usage.output_tokens > 0


def test_the_lines_of_results_end_with_a_line_feed_alone_and_hold_no_other_end(house, client):
    odd = "one\u2028two\u2029three\u0085four\r\n"
    made = client.messages.batches.create(requests=requests([odd]))
    wait_for_end(client, made)

    answer = house.raw("GET", f"{BATCHES}/{made.id}/results")

    assert answer.headers["content-type"] == "application/x-jsonl"
    assert len(answer.text.splitlines()) == 1
    assert answer.content.endswith(b"}\n")
    assert b"\r" not in answer.content
    assert json.loads(answer.content)["result"]["message"]["content"][0]["text"].endswith(odd)
