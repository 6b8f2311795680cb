"""The official OpenAI SDK, as it is, with files and batches of a whole Penstock over HTTP."""

import json
import re
from datetime import UTC, datetime

import openai
import pytest
from sqlalchemy import update

from app.core import batch_ids
from models.base import now
from models.job import Job
from models.session import in_transaction
from tasks import advance
from tests.support.lost_answers import lossy_proxy
from tests.support.openai_upstream import OpenAIUpstream
from tests.support.servers import wait_until
from tests.support.shared_stack import running_service

GOOD, REFUSED, HANGING = "Answer this, please.", "Refuse this, please.", "Hang on this, please."
MESSAGES = "/v1/messages"
CHAT = "/v1/chat/completions"
MODEL, GPT = "claude-haiku-4-5", "gpt-5-mini"
# What a request asks in its endpoint's shape, and where the answer to it is.
ASKS = {
    CHAT: ({"messages": [{"role": "user", "content": GOOD}]}, "choices"),
    "/v1/responses": ({"input": GOOD}, "output"),
    "/v1/embeddings": ({"input": [GOOD, "and this"]}, "data"),
    "/v1/completions": ({"prompt": GOOD}, "choices"),
}
ENDED = ("completed", "failed", "expired", "cancelled")


@pytest.fixture(scope="module")
def service(request, upstream_process, tmp_path_factory):
    """A whole Penstock, whose providers refuse some texts and never answer others."""
    faults = [
        {"kind": "status", "status": 400, "matching": "Refuse this"},
        {"kind": "hang", "matching": "Hang on"},
    ]
    upstream_process.reset()
    upstream_process.configure(faults=faults)
    with OpenAIUpstream() as other:
        other.configure(faults=[*faults, {"kind": "status", "status": 413, "matching": "Too much"}])
        spoken = {"OPENAI_API_KEY": "test-key", "OPENAI_BASE_URL": other.url}
        folder = tmp_path_factory.mktemp("openai")
        with running_service(request, upstream_process, folder, **spoken) as made:
            yield made


@pytest.fixture
def client(service, request):
    """The SDK of a tenant of the test's own, without a second attempt."""
    key = service.door.other(request.node.name[:60]).key
    with openai.OpenAI(base_url=f"{service.served.url}/v1", api_key=key, max_retries=0) as made:
        yield made


def line(custom_id, text=GOOD, url=MESSAGES, model=MODEL, **body):
    asked = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": text}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": asked}


def jsonl(*items):
    return "".join(json.dumps(item) + "\n" for item in items).encode()


def upload(client, *items, content=None, **more):
    content = jsonl(*items) if content is None else content
    return client.files.create(file=("asked.jsonl", content), purpose="batch", **more)


def create(client, *items, content=None, endpoint=MESSAGES, **more):
    file = upload(client, *items, content=content)
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more)


def until(client, batch, is_there=lambda found: found.status in ENDED):
    found = [batch]

    def look():
        found.append(client.batches.retrieve(batch.id))
        return is_there(found[-1])

    wait_until(look, what="the batch is there")
    return found[-1]


def read(client, file_id):
    text = client.files.content(file_id).text
    return {item["custom_id"]: item for item in map(json.loads, text.splitlines())}


def answered_and_refused(client):
    """A file with two good lines and one that the provider refuses, its batch as made and as it ended."""
    file = upload(client, line("a"), line("b", GOOD + " Twice."), line("c", REFUSED))
    made = client.batches.create(
        input_file_id=file.id, endpoint=MESSAGES, completion_window="24h", metadata={"team": "x"}
    )
    return file, made, until(client, made)


def test_a_file_becomes_a_batch_and_every_field_says_what_came_of_it(client):
    file, made, batch = answered_and_refused(client)
    assert (file.object, file.filename, file.purpose, file.status) == (
        "file", "asked.jsonl", "batch", "processed",
    )  # fmt: skip
    assert file.bytes == len(client.files.content(file.id).content)
    assert batch.to_dict() | {"penstock": None} == {
        "id": made.id,
        "object": "batch",
        "endpoint": MESSAGES,
        "model": MODEL,
        "errors": None,
        "input_file_id": file.id,
        "completion_window": "24h",
        "status": "completed",
        "output_file_id": f"file-{made.id.removeprefix('batch_')}-output",
        "error_file_id": f"file-{made.id.removeprefix('batch_')}-error",
        "created_at": made.created_at,
        "in_progress_at": batch.in_progress_at,
        "expires_at": made.created_at + 86_400,
        "finalizing_at": batch.completed_at,
        "completed_at": batch.completed_at,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 3, "completed": 2, "failed": 1},
        "metadata": {"team": "x"},
        "usage": batch.usage.to_dict(),
        "penstock": None,
    }
    assert made.created_at <= batch.in_progress_at <= batch.completed_at
    assert batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens > 0
    assert batch.model_extra["penstock"]["counts"]["succeeded"] == 2


def test_its_answers_and_its_refusals_are_files(client):
    _, _, batch = answered_and_refused(client)
    answers = read(client, batch.output_file_id)
    assert answers.keys() == {"a", "b"}
    assert answers["a"]["response"]["status_code"] == 200
    assert answers["a"]["response"]["body"]["content"][0]["text"]
    assert answers["a"]["id"].startswith("batch_req_")
    assert answers["a"]["error"] is None
    [refused] = read(client, batch.error_file_id).values()
    assert (refused["custom_id"], refused["error"]) == ("c", None)
    assert refused["response"]["status_code"] == 400
    assert refused["response"]["body"]["error"]["type"] == "invalid_request_error"
    output = client.files.retrieve(batch.output_file_id)
    assert output.bytes == len(client.files.content(output.id).content)
    assert output.purpose == "batch_output"
    assert output.created_at == batch.completed_at <= datetime.now(UTC).timestamp()


def test_a_running_batch_shows_what_has_ended_and_a_cancelled_one_keeps_it(client):
    # Given a batch with an answer, a refusal and a call that never ends, one call at a time
    asked = [line("a"), line("b", REFUSED), line("c", HANGING)]
    batch = create(client, *asked)
    batch = until(
        client, batch, lambda found: found.request_counts.completed + found.request_counts.failed == 2
    )
    assert (batch.status, batch.completed_at) == ("in_progress", None)

    # Then both files can be read while it runs
    assert read(client, batch.output_file_id).keys() == {"a"}
    assert read(client, batch.error_file_id).keys() == {"b"}
    before = client.files.content(batch.output_file_id).content

    # When it is cancelled
    cancelled = client.batches.cancel(batch.id)
    assert cancelled.status in ("cancelling", "cancelled")
    ended = until(client, batch)

    # Then it keeps both, and says of the other request that it was not executed
    assert ended.status == "cancelled"
    assert ended.cancelling_at <= ended.cancelled_at
    assert ended.request_counts.to_dict() == {"total": 3, "completed": 1, "failed": 1}
    assert client.files.content(ended.output_file_id).content == before
    errors = read(client, ended.error_file_id)
    assert errors.keys() == {"b", "c"}
    assert (errors["c"]["response"], errors["c"]["error"]["code"]) == (None, "batch_cancelled")
    assert client.batches.cancel(batch.id).status == "cancelled"


def test_what_was_not_sent_in_time_is_in_the_error_file_of_an_expired_batch(client, service):
    batch = create(client, line("a"), line("b", HANGING))
    until(client, batch, lambda found: found.request_counts.completed == 1)

    expire(batch)
    ended = until(client, batch)

    assert ended.status == "expired"
    assert ended.expired_at >= ended.created_at
    assert read(client, ended.output_file_id).keys() == {"a"}
    assert read(client, ended.error_file_id).keys() == {"b"}


def expire(batch):
    """Let the batch's time be up, by the database's clock."""
    uid = batch_ids.read(batch.id)
    past = update(Job).where(Job.uid == uid).values(expires_at=now(-1)).returning(Job.id)
    advance.run(in_transaction(lambda session: session.execute(past).scalar_one()))


def test_a_batch_without_answers_has_no_output_file_and_one_without_failures_no_error_file(client):
    failed = until(client, create(client, line("a", REFUSED), line("b", REFUSED + " Now.")))
    assert (failed.status, failed.output_file_id) == ("completed", None)
    assert read(client, failed.error_file_id).keys() == {"a", "b"}

    good = until(client, create(client, line("a")))
    assert (good.status, good.error_file_id) == ("completed", None)


def test_an_invalid_file_is_a_batch_that_failed_line_by_line_with_nothing_asked(client, service):
    asked_before = len(service.upstream.books())
    bad = [[1], None, line("a"), line("a"), line("b", stream=True), line("c", url="/v1/nothing")]
    text_body = {**line("d"), "body": "text"}

    batch = create(client, *bad, text_body)

    assert (batch.status, batch.failed_at is not None) == ("failed", True)
    assert [(error.line, error.code, error.param) for error in batch.errors.data] == [
        (1, "invalid_json_line", None),
        (2, "invalid_json_line", None),
        (4, "duplicate_custom_id", "custom_id"),
        (5, "unsupported_parameter", "body.stream"),
        (6, "mismatched_url", "url"),
        (7, "invalid_body", "body"),
    ]
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert batch.request_counts.total == 0
    assert client.batches.retrieve(batch.id).to_dict() == batch.to_dict()
    assert len(service.upstream.books()) == asked_before


def test_a_mark_line_ends_of_windows_and_blank_lines_are_no_errors(client):
    content = b"\xef\xbb\xbf" + jsonl(line("a"), line("b")).replace(b"\n", b"\r\n") + b"\r\n\n"

    batch = until(client, create(client, content=content))

    assert (batch.status, batch.request_counts.completed) == ("completed", 2)


def test_requests_may_come_with_the_call_and_are_a_file_afterwards(client):
    asked = [{"custom_id": "a", "body": line("a")["body"]}, line("b")]
    batch = client.batches.create(
        input_file_id=openai.omit,
        endpoint=MESSAGES,
        completion_window="1h",
        extra_body={"requests": asked},
    )
    ended = until(client, batch)

    assert (ended.completion_window, ended.expires_at) == ("1h", ended.created_at + 3_600)
    assert read(client, ended.output_file_id).keys() == {"a", "b"}
    assert read(client, ended.input_file_id)["a"] == line("a")

    # And of that file the next batch can be made, unlike of its answers
    repeated = client.batches.create(
        input_file_id=ended.input_file_id, endpoint=MESSAGES, completion_window="24h"
    )
    assert read(client, until(client, repeated).output_file_id).keys() == {"a", "b"}
    with pytest.raises(openai.BadRequestError, match="has the purpose 'batch_output'"):
        client.batches.create(input_file_id=ended.output_file_id, endpoint=MESSAGES, completion_window="24h")


def test_both_lists_turn_pages_in_their_order(client):
    files = [upload(client, line(f"r{number}")) for number in range(5)]
    batches = [
        client.batches.create(input_file_id=file.id, endpoint=MESSAGES, completion_window="24h")
        for file in files
    ]
    newest_first = [file.id for file in reversed(files)]

    assert [file.id for file in client.files.list(limit=2, purpose="batch")] == newest_first
    assert [file.id for file in client.files.list(limit=2, order="asc", purpose="batch")] == newest_first[
        ::-1
    ]
    assert [file.id for file in client.files.list(purpose="assistants")] == []
    assert [batch.id for batch in client.batches.list(limit=2)] == [one.id for one in reversed(batches)]
    first = client.batches.list(limit=2)
    assert (first.has_more, len(first.data)) == (True, 2)


def test_every_kind_of_refusal_is_the_error_that_the_sdk_has_for_it(client, service):
    batch = create(client, line("a"))
    until(client, batch)
    reader = service.door.other("readers", scopes=("jobs:read",))
    url = client.base_url
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(
            input_file_id=batch.input_file_id, endpoint="/v1/videos", completion_window="24h"
        )
    assert (refused.value.param, refused.value.type) == ("endpoint", "invalid_request_error")
    with pytest.raises(openai.AuthenticationError), openai.OpenAI(base_url=url, api_key="no") as stranger:
        stranger.batches.list()
    with (
        pytest.raises(openai.PermissionDeniedError),
        openai.OpenAI(base_url=url, api_key=reader.key) as other,
    ):
        other.files.create(file=b"x", purpose="batch")
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_00000000000000000000000000000000")
    with pytest.raises(openai.NotFoundError):
        client.get("/batches/a/b/c", cast_to=object)
    with pytest.raises(openai.ConflictError) as refused:
        client.batches.cancel(batch.id)
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert refused.value.request_id == refused.value.response.headers["request-id"]
    with pytest.raises(openai.APIStatusError) as refused:
        client.delete("/batches", cast_to=object)
    assert (refused.value.status_code, refused.value.body["type"]) == (405, "invalid_request_error")


def test_a_create_whose_answer_was_lost_is_sent_again_and_makes_no_second_batch(client, service):
    file = upload(client, line("a"))
    port = int(service.served.url.rpartition(":")[2])
    with lossy_proxy(port) as proxy:
        unlucky = client.with_options(base_url=f"{proxy.url}/v1", max_retries=2)
        proxy.to_lose = 1
        made = unlucky.batches.create(input_file_id=file.id, endpoint=MESSAGES, completion_window="24h")

    assert proxy.lost == 1
    assert [batch.id for batch in client.batches.list()] == [made.id]

    # Two that are meant are two
    client.batches.create(input_file_id=file.id, endpoint=MESSAGES, completion_window="24h")
    assert len(client.batches.list().data) == 2


def test_a_file_expires_when_it_says_and_a_deleted_one_is_gone(client):
    file = upload(client, line("a"), expires_after={"anchor": "created_at", "seconds": 3_600})
    assert file.expires_at == file.created_at + 3_600
    usual = upload(client, line("a"))
    assert usual.expires_at == usual.created_at + 30 * 86_400

    deleted = client.files.delete(file.id)

    assert (deleted.id, deleted.deleted, deleted.object) == (file.id, True, "file")
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(file.id)
    with pytest.raises(openai.NotFoundError):
        client.batches.create(input_file_id=file.id, endpoint=MESSAGES, completion_window="24h")


@pytest.mark.parametrize("model", ["simulated", GPT])
@pytest.mark.parametrize("endpoint", ASKS)
def test_every_endpoint_is_answered_in_its_own_shape(client, endpoint, model):
    body, answered_in = ASKS[endpoint]
    asked = {"custom_id": "a", "method": "POST", "url": endpoint, "body": {"model": model, **body}}

    batch = until(client, create(client, asked, endpoint=endpoint))

    assert (batch.status, batch.endpoint, batch.model) == ("completed", endpoint, model)
    [item] = read(client, batch.output_file_id).values()
    assert item["response"]["status_code"] == 200
    assert item["response"]["body"][answered_in]
    assert batch.usage.input_tokens > 0


def test_an_endpoints_own_refusal_is_told_with_its_status(client):
    batch = until(client, create(client, chat("a", REFUSED), chat("b", "Too much"), chat("c"), endpoint=CHAT))

    assert read(client, batch.output_file_id).keys() == {"c"}
    refused = read(client, batch.error_file_id)
    assert {id: item["response"]["status_code"] for id, item in refused.items()} == {"a": 400, "b": 413}
    assert refused["a"]["error"] is None
    # And in its own words
    said = refused["b"]["response"]["body"]["error"]
    assert said == {"message": "told to fail", "type": "invalid_request_error", "param": None, "code": None}


def test_a_messages_line_for_another_endpoints_model_comes_back_as_a_message(client):
    batch = until(client, create(client, line("a", model=GPT)))

    [item] = read(client, batch.output_file_id).values()
    assert item["response"]["body"]["type"] == "message"
    assert item["response"]["body"]["content"][0]["text"]


def test_lines_for_claude_stand_in_a_batch_of_any_endpoint_and_those_of_two_providers_do_not_mix(client):
    batch = until(client, create(client, line("a"), endpoint=CHAT))
    assert read(client, batch.output_file_id)["a"]["response"]["body"]["type"] == "message"

    mixed = until(client, create(client, chat("a"), line("b"), endpoint=CHAT))
    assert (mixed.status, mixed.model, mixed.request_counts.failed) == ("completed", GPT, 1)
    other = read(client, mixed.error_file_id)["b"]
    assert (other["response"], other["error"]["code"]) == (None, "unknown_model")

    elsewhere = create(client, {**chat("b", model=MODEL), "url": "/v1/responses"}, endpoint="/v1/responses")
    assert [(error.line, error.code) for error in elsewhere.errors.data] == [(1, "mismatched_url")]


@pytest.mark.parametrize("model", [MODEL, GPT])
def test_each_line_is_answered_in_the_shape_in_which_it_was_asked_whoever_answers(client, model):
    lines = [chat("chat", model=model), line("message", model=model)]
    lines += [chat("no chat", REFUSED, model=model), line("no message", REFUSED, model=model)]

    batch = until(client, create(client, *lines, endpoint=CHAT))

    found = {name: item["response"] for name, item in read(client, batch.output_file_id).items()}
    assert found["chat"]["body"]["object"] == "chat.completion"
    assert found["chat"]["body"]["choices"][0]["message"]["content"]
    assert found["message"]["body"]["type"] == "message"
    assert found["message"]["body"]["content"][0]["text"]
    refused = {name: item["response"] for name, item in read(client, batch.error_file_id).items()}
    assert {item["status_code"] for item in refused.values()} == {400}
    assert refused["no chat"]["body"]["error"].keys() == {"message", "type", "param", "code"}
    assert refused["no message"]["body"]["type"] == "error"
    # And each bears the id that its provider gave the call
    ids = {item["request_id"] for item in [*found.values(), *refused.values()]}
    assert len(ids) == 4
    assert all(re.fullmatch("req_up_[0-9]{6}", id) for id in ids)


def test_a_job_of_the_native_contract_is_read_as_chat_completions(client, service, request):
    door = service.door.other(request.node.name[:60])
    job = door.submit([{"custom_id": "x", "prompt": GOOD}], model=MODEL)
    batch = until(client, client.batches.retrieve(job["id"]))

    [item] = read(client, batch.output_file_id).values()
    body = item["response"]["body"]
    assert (body["object"], body["choices"][0]["finish_reason"]) == ("chat.completion", "stop")
    assert body["choices"][0]["message"]["content"]
    assert body["usage"]["total_tokens"] == batch.usage.total_tokens


def chat(custom_id, text=GOOD, model=GPT):
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": CHAT,
        "body": {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 50},
    }
