"""A model of one API, asked through the other API's official SDK: what arrives, and what comes back."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.conftest import penstock_of_its_own
from tests.support.openai_upstream import OpenAIUpstream
from tests.support.stack import Stack
from tests.support.web_process import web_process

CLAUDE, MINI = "claude-haiku-4-5", "gpt-4o-mini"
ENDPOINTS = """
[[endpoint]]
name = "openai"
base_url = "{url}"
key = "OUR_KEY"
models = ["gpt-*"]
"""
PIXEL = "iVBORw0KGgo="
PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CALLED = {"city": "Ulm"}


@pytest.fixture(scope="module")
def upstream_process():
    with OpenAIUpstream() as provider:
        yield provider


@pytest.fixture
def upstream(upstream_process):
    upstream_process.reset()
    upstream_process.configure(keep_requests=True)
    return upstream_process


@pytest.fixture(scope="module")
def clients(
    request, upstream_process, tmp_path_factory
) -> Iterator[tuple[anthropic.Anthropic, openai.OpenAI]]:
    folder = tmp_path_factory.mktemp("both")
    (folder / "providers.toml").write_text(ENDPOINTS.format(url=upstream_process.url))
    more = {
        "PENSTOCK_PROVIDERS_FILE": str(folder / "providers.toml"),
        "OUR_KEY": "sk-proj-ours",
        "ANTHROPIC_API_KEY": "sk-ant-ours",
        "ANTHROPIC_BASE_URL": upstream_process.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "60000",
    }
    with penstock_of_its_own("sqlite", request, folder, **more) as values:
        stack = Stack(values, folder).start()
        with (
            web_process(values, folder, 64) as web,
            anthropic.Anthropic(base_url=web.url, api_key=stack.key, max_retries=0) as claude,
            openai.OpenAI(base_url=f"{web.url}/v1", api_key=stack.key, max_retries=0) as gpt,
        ):
            yield claude, gpt
        stack.stop()


@pytest.fixture
def claude(clients) -> anthropic.Anthropic:
    return clients[0]


@pytest.fixture
def gpt(clients) -> openai.OpenAI:
    return clients[1]


MESSAGE: dict[str, Any] = {
    "model": MINI,
    "max_tokens": 50,
    "system": "Be brief.",
    "stop_sequences": ["END"],
    "messages": [
        {"role": "user", "content": "Where am I?"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "locate", "input": CALLED}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "in Ulm"},
                {"type": "text", "text": "And this?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
            ],
        },
    ],
    "tools": [{"name": "locate", "input_schema": PLACE}],
    "tool_choice": {"type": "any"},
}
COMPLETION: dict[str, Any] = {
    "model": CLAUDE,
    "max_completion_tokens": 50,
    "stop": ["END"],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Where am I?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "t1",
                    "type": "function",
                    "function": {"name": "locate", "arguments": json.dumps(CALLED)},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "in Ulm"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            ],
        },
    ],
    "tools": [{"type": "function", "function": {"name": "locate", "parameters": PLACE}}],
    "tool_choice": "required",
}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_message_of_an_endpoint_is_asked_as_a_chat_completion(claude, upstream, streamed):
    if streamed:
        with claude.messages.stream(**MESSAGE) as stream:
            text = "".join(stream.text_stream)
            message = stream.get_final_message()
    else:
        message = claude.messages.create(**MESSAGE)
        text = message.content[0].text

    [seen] = upstream.books()
    assert seen["streamed"] == streamed
    asked = {name: value for name, value in seen["request"].items() if not name.startswith("stream")}
    wanted = {**COMPLETION, "model": MINI, "max_tokens": 50}
    del wanted["max_completion_tokens"]
    assert asked == wanted
    assert text == message.content[0].text != ""
    assert (message.role, message.stop_reason) == ("assistant", "end_turn")
    assert message.usage.output_tokens == seen["output_tokens"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_chat_completion_of_claude_is_asked_as_a_message(gpt, upstream, streamed):
    if streamed:
        chunks = list(gpt.chat.completions.create(**COMPLETION, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        ends = chunks[-1].choices[0].finish_reason
    else:
        answer = gpt.chat.completions.create(**COMPLETION)
        text, ends = answer.choices[0].message.content, answer.choices[0].finish_reason

    [seen] = upstream.books()
    asked = {name: value for name, value in seen["request"].items() if name != "stream"}
    wanted = {**MESSAGE, "model": CLAUDE}
    wanted["messages"] = [
        {"role": "user", "content": [{"type": "text", "text": "Where am I?"}]},
        *MESSAGE["messages"][1:],
    ]
    assert asked == wanted
    assert text != ""
    assert ends == "stop"


def test_a_schema_goes_along_both_ways(claude, gpt, upstream):
    form = {"format": {"type": "json_schema", "schema": PLACE}}
    asked = [{"role": "user", "content": "Where?"}]
    message = claude.messages.create(model=MINI, max_tokens=50, messages=asked, output_config=form)
    assert set(json.loads(message.content[0].text)) == {"city"}

    wish = {"type": "json_schema", "json_schema": {"name": "place", "schema": PLACE, "strict": True}}
    gpt.chat.completions.create(model=CLAUDE, messages=asked, response_format=wish)
    first, second = upstream.books()
    assert first["request"]["response_format"]["json_schema"]["schema"] == PLACE
    assert second["request"]["output_config"] == form


def test_a_tool_is_called_both_ways(claude, gpt, upstream):
    function = {"name": "locate", "arguments": json.dumps(CALLED)}
    said = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "t1", "type": "function", "function": function}],
    }
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    choice = {"index": 0, "message": said, "finish_reason": "tool_calls"}
    completion = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": MINI,
        "choices": [choice],
        "usage": usage,
    }
    upstream.configure(faults=[{"kind": "body", "status": 200, "body": json.dumps(completion)}])
    with claude.messages.stream(**MESSAGE) as stream:
        streamed = stream.get_final_message()
    for message in (claude.messages.create(**MESSAGE), streamed):
        assert message.stop_reason == "tool_use"
        [block] = message.content
        assert (block.type, block.name, block.input) == ("tool_use", "locate", CALLED)

    use = {"type": "tool_use", "id": "t1", "name": "locate", "input": CALLED}
    answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": CLAUDE, "content": [use]}
    answer |= {
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 4},
    }
    upstream.configure(faults=[{"kind": "body", "status": 200, "body": json.dumps(answer)}])
    whole = gpt.chat.completions.create(**COMPLETION).choices[0]
    with gpt.chat.completions.stream(**COMPLETION) as events:
        events.until_done()
        parts = events.get_final_completion().choices[0]
    for choice in (whole, parts):
        assert choice.finish_reason == "tool_calls"
        [call] = choice.message.tool_calls
        assert (call.function.name, json.loads(call.function.arguments)) == ("locate", CALLED)
