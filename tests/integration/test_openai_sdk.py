"""The official OpenAI SDK, as it is, with files and batches of a whole Penstock over HTTP."""

import json
from datetime import UTC, datetime

import openai
import pytest

from tests.support.servers import wait_until
from tests.support.shared_stack import running_service

GOOD, REFUSED, HANGING = "Answer this, please.", "Refuse this, please.", "Hang on this, please."
MESSAGES = "/v1/messages"
MODEL = "claude-haiku-4-5"
ENDED = ("completed", "failed", "expired", "cancelled")


@pytest.fixture(scope="module")
def service(request, upstream_process, tmp_path_factory):
    """A whole Penstock, whose provider refuses some texts and never answers others."""
    upstream_process.reset()
    upstream_process.configure(
        faults=[
            {"kind": "status", "status": 400, "matching": "Refuse this"},
            {"kind": "hang", "matching": "Hang on"},
        ]
    )
    with running_service(request, upstream_process, tmp_path_factory.mktemp("openai")) as made:
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


def test_a_file_becomes_a_batch_whose_answers_and_refusals_are_files(client):
    # Given a file with good lines and one that the provider refuses
    file = upload(client, line("a"), line("b", GOOD + " Twice."), line("c", REFUSED))
    assert (file.object, file.filename, file.purpose, file.status) == (
        "file", "asked.jsonl", "batch", "processed",
    )  # fmt: skip
    assert file.bytes == len(client.files.content(file.id).content)

    # When a batch is made of it
    made = client.batches.create(
        input_file_id=file.id, endpoint=MESSAGES, completion_window="24h", metadata={"team": "x"}
    )
    batch = until(client, made)

    # Then every field says what came of it
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
