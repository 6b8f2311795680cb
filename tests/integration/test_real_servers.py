"""Servers in OpenAI's manner that nobody here wrote answer batches: LiteLLM's proxy, llama.cpp's server."""

import json

import pytest

from tests.conftest import penstock_of_its_own
from tests.support import real_servers
from tests.support.servers import wait_until
from tests.support.stack import Stack
from tests.support.threaded_server import serving

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # their packages have to be installed first

CHAT = "/v1/chat/completions"
ENDPOINTS = """
[[endpoint]]
name = "proxy"
base_url = "{litellm}"
key = "PROXY_KEY"
models = ["team:*"]
prefix = "team:"

[[endpoint]]
name = "llama"
base_url = "{llama_cpp}/v1"
models = ["local:*"]
prefix = "local:"
bills = false
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("servers")
    with real_servers.litellm(folder) as litellm, real_servers.llama_cpp(folder) as llama_cpp:
        (folder / "providers.toml").write_text(ENDPOINTS.format(litellm=litellm, llama_cpp=llama_cpp))
        more = {"PENSTOCK_PROVIDERS_FILE": str(folder / "providers.toml"), "PROXY_KEY": "sk-ours"}
        with penstock_of_its_own("sqlite", request, folder, **more) as values:
            stack = Stack(values, folder).start()
            with serving() as made:
                yield made.door
            stack.stop()


def asked(custom_id, model, url=CHAT, **body):
    request = {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": "Why?"}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": request}


def ended(door, *requests, endpoint=CHAT):
    """A batch that has ended, and the responses of its output and error files."""
    body = {"endpoint": endpoint, "completion_window": "24h", "requests": list(requests)}
    batch = door.post("/v1/batches", json=body).get_json()

    def look():
        batch.update(door.get(f"/v1/batches/{batch['id']}").get_json())
        return batch["status"] == "completed"

    wait_until(look, seconds=60, what="the batch has ended")
    found = {}
    for file in filter(None, (batch["output_file_id"], batch["error_file_id"])):
        for line in map(json.loads, door.get(f"/v1/files/{file}/content").data.splitlines()):
            found[line["custom_id"]] = line
    return batch, found


def test_a_litellm_proxy_answers_a_batch_and_its_refusals_are_those_of_single_lines(door):
    batch, found = ended(
        door,
        asked("good", "team:mocked"),
        asked("a message", "team:mocked", url="/v1/messages"),
        asked("unknown", "team:nobody"),
        asked("too long", "team:cut"),
    )

    assert batch["request_counts"] == {"total": 4, "completed": 2, "failed": 2}
    assert found["good"]["response"]["body"]["choices"][0]["message"]["content"] == "A mocked answer."
    assert found["a message"]["response"]["body"]["content"] == [{"type": "text", "text": "A mocked answer."}]
    refused = found["unknown"]["response"]
    assert refused["status_code"] == 400
    assert "Invalid model name" in refused["body"]["error"]["message"]
    assert "provider_specific_fields" in refused["body"]["error"]  # in its own words
    assert found["too long"]["response"]["status_code"] == 400
    assert batch["usage"]["total_tokens"] == 2 * 30


def test_llama_cpps_server_answers_a_batch_at_no_cost(door):
    batch, found = ended(
        door,
        *(asked(f"a{number}", "local:tiny.gguf") for number in range(5)),
        asked("bad", "local:tiny.gguf", messages=7),
    )

    assert batch["request_counts"] == {"total": 6, "completed": 5, "failed": 1}
    assert found["a1"]["response"]["body"]["choices"][0]["finish_reason"] in ("length", "stop")
    assert found["bad"]["response"]["status_code"] == 400
    assert batch["usage"]["output_tokens"] > 0
    assert batch["penstock"]["cost"] == "0.00"

    answered, shown = ended(
        door,
        {"custom_id": "r", "body": {"model": "local:tiny.gguf", "input": "Why?", "max_output_tokens": 8}},
        endpoint="/v1/responses",
    )
    assert answered["request_counts"]["completed"] == 1
    assert shown["r"]["response"]["body"]["object"] == "response"
    # What it was not started for fails each request once, in its words
    vectors, refused = ended(
        door,
        {"custom_id": "v", "body": {"model": "local:tiny.gguf", "input": "x"}},
        endpoint="/v1/embeddings",
    )
    assert vectors["request_counts"]["failed"] == 1
    assert refused["v"]["response"]["status_code"] == 501
    assert vectors["penstock"]["counts"]["failed"] == 1
