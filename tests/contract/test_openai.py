"""What an endpoint in OpenAI's manner promises beyond what every client does."""

import asyncio
import base64
import datetime as dt
import json
import struct
from email.utils import format_datetime
from typing import Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel

from app import errors
from app.providers import openai_requests, shapes
from app.providers.client import RateLimits, Usage
from tests.support.openai_upstream import OpenAIUpstream
from tests.support.provider_subjects import OPENAI_KEY, OpenAI, Simulated, openai_at

ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Why?"}]}


def whole(path: str, **body: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "max_tokens": 9, "url": path, "body": {"model": "gpt-4o-mini", **body}}


def ask(subject: OpenAI, request: dict[str, Any]) -> Any:
    return subject.runner.run(subject.client.ask(request, deadline=30, attempt=1))


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_an_address_works_with_and_without_its_version(
    runner: asyncio.Runner, openai_upstream: OpenAIUpstream, ending: str
) -> None:
    client = openai_at(openai_upstream.url + ending, runner)
    assert runner.run(client.ask(whole(openai_requests.CHAT, **ASKED), deadline=30, attempt=1)).text
    assert runner.run(client.count_models(deadline=30)) == 2
    runner.run(client.refuse_nothing(deadline=30))
    runner.run(client.close())


@pytest.mark.parametrize(
    ("path", "body", "output"),
    [
        (openai_requests.CHAT, {"messages": [{"role": "user", "content": "Why?"}]}, 7),
        (openai_requests.RESPONSES, {"input": "Why?"}, 7),
        (openai_requests.EMBEDDINGS, {"input": ["Why?"]}, 0),
        (openai_requests.COMPLETIONS, {"prompt": "Why?"}, 7),
    ],
)
def test_each_path_brings_its_text_and_what_it_used(
    openai: OpenAI, path: str, body: dict[str, Any], output: int
) -> None:
    openai.upstream.configure(output_tokens=7, cache_share=0.5)
    reply = ask(openai, whole(path, **body))
    (seen,) = openai.upstream.books()
    read, cached = seen["input_tokens"], seen["cache_read_tokens"]
    assert reply.usage == Usage(read, output, cached, service_tier=reply.usage.service_tier)
    assert reply.text
    assert reply.stop_reason == "end_turn"


def test_only_the_endpoints_own_key_is_sent(
    runner: asyncio.Runner, openai_upstream: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an environment with what belongs to OpenAI itself
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-ours")
    openai_upstream.configure(keep_requests=True)

    # When OpenAI, an endpoint with a key and one without are asked
    for name, key in (("openai", OPENAI_KEY), ("groq", "gsk"), ("vllm", None)):
        client = openai_at(openai_upstream.url, runner, key, name=name)
        runner.run(client.ask(whole(openai_requests.CHAT, **ASKED), deadline=30, attempt=1))
        runner.run(client.close())

    # Then each got its own, and OpenAI alone the organization
    sent = [seen["headers"] for seen in openai_upstream.books()]
    keys = [headers.get("authorization") for headers in sent]
    assert keys == [f"Bearer {OPENAI_KEY}", "Bearer gsk", None]
    assert [headers.get("openai-organization") for headers in sent] == ["org-ours", None, None]


def test_limits_are_read_from_its_headers(openai: OpenAI) -> None:
    openai.upstream.configure(requests_per_minute=500, input_tokens_per_minute=30_000)
    assert openai.ask().limits == RateLimits(requests=500, input_tokens=30_000)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "9" * 400 + "s"}, None),
        ({}, None),
    ],
)
def test_a_rate_limit_names_its_pause(openai: OpenAI, headers: dict[str, str], seconds: float | None) -> None:
    openai.fault(kind="status", status=429, headers=headers)
    failure = openai.refusal()
    assert type(failure) is errors.RateLimited
    assert failure.retry_after == seconds


def test_a_pause_may_be_a_date(openai: OpenAI) -> None:
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=90)
    openai.fault(kind="status", status=429, headers={"retry-after": format_datetime(soon, usegmt=True)})
    pause = openai.refusal().retry_after
    assert pause is not None
    assert 60 < pause <= 90


@pytest.mark.parametrize(
    ("fault", "kind", "type"),
    [
        ({"status": 429, "code": "insufficient_quota"}, errors.AccountRefused, "insufficient_quota"),
        ({"status": 401}, errors.AccountRefused, "invalid_api_key"),
        ({"status": 403, "code": "unsupported_country"}, errors.AccountRefused, "unsupported_country"),
        (
            {"status": 404, "message": "The model `x` does not exist or you do not have access to it."},
            errors.RequestRejected,
            "invalid_request_error",
        ),
        ({"status": 400}, errors.RequestRejected, "invalid_request_error"),
        ({"status": 503}, errors.Overloaded, "overloaded"),
    ],
)
def test_a_refusal_is_whose_matter_it_is(
    openai: OpenAI, fault: dict[str, Any], kind: type[errors.ProviderError], type: str
) -> None:
    openai.fault(kind="status", **fault)
    failure = openai.refusal()
    assert failure.__class__ is kind
    assert failure.type == type
    assert failure.request_id == "req_up_000001"
    assert failure.address == f"{openai.upstream.url}/v1"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "body", "body": "[]"}, errors.BadAnswer),
        ({"kind": "body", "body": '{"id": "x"}'}, errors.BadAnswer),
        ({"kind": "half_json"}, errors.BadAnswer),
        ({"kind": "cut_midway"}, errors.ConnectionCut),
        ({"kind": "reset"}, errors.ConnectionCut),
        ({"kind": "body", "body": '{"error": {"code": 429, "message": "slow"}}'}, errors.RateLimited),
        ({"kind": "body", "body": '{"detail": "Not Found"}'}, errors.BadAnswer),
        ({"kind": "body", "body": '{"error": "model is still loading"}'}, errors.ServerFault),
        ({"kind": "body", "body": '{"error": "server busy, try later"}'}, errors.Overloaded),
        (
            {"kind": "body", "body": "<html>Sign in</html>", "content_type": "text/html"},
            errors.Misdirected,
        ),
        (
            {"kind": "body", "body": '{"object": "response", "status": "failed", "output": []}'},
            errors.ServerFault,
        ),
    ],
)
def test_a_broken_answer_is_told_by_how_it_broke(
    openai: OpenAI, fault: dict[str, Any], kind: type[errors.ProviderError]
) -> None:
    openai.fault(**fault)
    assert type(openai.refusal()) is kind


def completion(**parts: Any) -> str:
    """A chat completion as other servers write it; a part that is `...` is left out."""
    message = {"role": "assistant", "content": "So."} | parts.pop("message", {})
    choice = {"index": 0, "message": message, "finish_reason": parts.pop("finish_reason", "stop")}
    usage = {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50}
    answer = {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage} | parts
    return json.dumps({name: part for name, part in answer.items() if part is not ...})


@pytest.mark.parametrize(
    ("parts", "text", "stop", "is_counted"),
    [
        ({"usage": ...}, "So.", "end_turn", False),
        ({"usage": None}, "So.", "end_turn", False),
        ({"usage": {"prompt_tokens": 30}}, "So.", "end_turn", False),
        ({"usage": {"prompt_tokens": 0, "completion_tokens": 0}}, "So.", "end_turn", False),
        ({"finish_reason": None}, "So.", None, True),
        ({"finish_reason": ""}, "So.", None, True),
        ({"message": {"content": None, "reasoning_content": "Hm."}, "finish_reason": "length"},
         "", "max_tokens", True),
        ({"message": {"content": [{"type": "text", "text": "In parts."}]}}, "In parts.", "end_turn", True),
        ({"choices": []}, "", None, True),
        ({"object": "", "model": None, "created": None}, "So.", "end_turn", True),
    ],
)  # fmt: skip
def test_an_answer_that_lacks_something_is_kept_as_it_came(
    openai: OpenAI, parts: dict[str, Any], text: str, stop: str | None, is_counted: bool
) -> None:
    openai.fault(kind="body", body=completion(**parts))
    reply = ask(openai, whole(openai_requests.CHAT, **ASKED))
    assert (reply.text, reply.stop_reason, reply.usage is not None) == (text, stop, is_counted)
    assert json.loads(reply.body) == json.loads(completion(**parts))
    # And a reader of Messages is shown it all the same
    assert shapes.message_of(reply.body)["type"] == "message"


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ('{"city": "Rome"}', {"city": "Rome"}),
        ({"city": "Rome"}, {"city": "Rome"}),
        ('{"city": "Ro', {"arguments": '{"city": "Ro'}),
        (None, {}),
    ],
)
def test_a_tools_arguments_are_read_however_they_are_written(
    openai: OpenAI, arguments: Any, read: dict[str, Any]
) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    said = {"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    openai.fault(kind="body", body=completion(**said))
    reply = ask(openai, whole(openai_requests.CHAT, **ASKED))
    assert reply.stop_reason == "tool_use"
    [block] = shapes.message_of(reply.body)["content"]
    assert (block["type"], block["name"], block["input"]) == ("tool_use", "weather", read)


def test_a_stream_that_ends_without_its_usage_is_an_answer_of_unknown_usage(openai: OpenAI) -> None:
    chunk = {
        "id": "x",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": "So."}}],
    }
    end = {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    text = "".join(f"data: {json.dumps(one)}\n\n" for one in (chunk, end)) + "data: [DONE]\n\n"
    openai.fault(kind="body", body=text, content_type="text/event-stream")
    seen: list[bytes] = []
    asked = whole(openai_requests.CHAT, **ASKED, stream=True)
    reply = openai.runner.run(openai.client.stream(asked, deadline=30, attempt=1, hand_on=seen.append))
    assert (reply.text, reply.stop_reason, reply.usage) == ("So.", "end_turn", None)
    assert b"So." in b"".join(seen)


def test_a_server_without_this_api_is_no_records_fault(
    runner: asyncio.Runner, openai_upstream: OpenAIUpstream
) -> None:
    subject = OpenAI(runner, openai_upstream)
    runner.run(subject.client.close())
    subject.client = openai_at(f"{openai_upstream.url}/v7", runner)
    assert type(subject.refusal()) is errors.Misdirected
    runner.run(subject.client.close())


def test_a_request_that_has_no_counterpart_is_refused_unasked(openai: OpenAI) -> None:
    failure = openai.refusal(tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert type(failure) is errors.RequestRejected
    assert "web_search_20250305" in failure.message
    assert openai.upstream.books() == []


# The simulated provider in this API's shapes


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        (openai_requests.CHAT, {"messages": [{"role": "user", "content": "Why?"}]}, ChatCompletion),
        (openai_requests.RESPONSES, {"input": "Why?"}, Response),
        (openai_requests.RESPONSES, {"input": [{"role": "user", "content": "Why?"}]}, Response),
        (openai_requests.COMPLETIONS, {"prompt": "Why?"}, Completion),
        (openai_requests.EMBEDDINGS, {"input": ["Why?", "How?"]}, CreateEmbeddingResponse),
        (openai_requests.EMBEDDINGS, {"input": [1, 2, 3], "dimensions": 3}, CreateEmbeddingResponse),
    ],
)
def test_an_invented_answer_is_what_the_sdk_expects_of_its_path(
    simulated: Simulated, path: str, body: dict[str, Any], kind: type[BaseModel]
) -> None:
    request = {"model": "simulated", "url": path, "body": {"model": "simulated", **body}}
    reply = simulated.runner.run(simulated.client.ask(request, deadline=5, attempt=1))
    answer = kind.model_validate_json(reply.body, strict=True)
    assert answer.model == "simulated"
    assert reply.usage.input_tokens > 0
    assert "[simulated]" in reply.text or kind is CreateEmbeddingResponse
    assert simulated.runner.run(simulated.client.ask(request, deadline=5, attempt=2)) == reply


def test_invented_vectors_are_coded_as_the_sdk_asks_for_them(simulated: Simulated) -> None:
    body = {"model": "simulated", "input": "Why?", "dimensions": 4}
    plain, coded = (
        simulated.runner.run(
            simulated.client.ask(
                {
                    "model": "simulated",
                    "url": openai_requests.EMBEDDINGS,
                    "body": body | {"encoding_format": form},
                },
                deadline=5,
                attempt=1,
            )
        )
        for form in ("float", "base64")
    )
    vector = json.loads(plain.body)["data"][0]["embedding"]
    found = struct.unpack("<4f", base64.b64decode(json.loads(coded.body)["data"][0]["embedding"]))
    assert list(found) == pytest.approx(vector)


def test_an_invented_answer_heeds_its_bound_its_schema_and_its_wishes(simulated: Simulated) -> None:
    def asked(**body: Any) -> Any:
        whole = {"model": "simulated", "messages": [{"role": "user", "content": "Why?"}], **body}
        request = {"model": "simulated", "url": openai_requests.CHAT, "body": whole}
        return simulated.runner.run(simulated.client.ask(request, deadline=5, attempt=1))

    schema = {"type": "object", "properties": {"stars": {"type": "integer"}}, "required": ["stars"]}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    assert asked(max_completion_tokens=2).stop_reason == "max_tokens"
    assert set(json.loads(asked(response_format=form).text)) == {"stars"}
    with pytest.raises(errors.Overloaded):
        asked(simulate={"error": "overloaded"})
    with pytest.raises(errors.RequestRejected):
        asked(messages=[])
