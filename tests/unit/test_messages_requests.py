"""A chat completion's request as one of Messages: there and back it asks the same."""

from typing import Any

import pytest

from app.errors import RequestRejected
from app.providers import messages_requests, openai_requests

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
CALL = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"at": "soup"}'}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
ASKED: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 9,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, PICTURE]},
        {"role": "assistant", "content": "Let me.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "t1", "content": "hot"},
        {"role": "user", "content": [{"type": "text", "text": "And?"}]},
    ],
    "stop": ["END"],
    "temperature": 0.5,
    "user": "u",
    "tools": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    },
}


def test_there_and_back_it_is_the_same_request() -> None:
    assert openai_requests.chat(messages_requests.of(ASKED)) == ASKED


def test_results_and_what_is_said_next_are_one_message() -> None:
    roles = [message["role"] for message in messages_requests.of(ASKED)["messages"]]
    assert roles == ["user", "assistant", "user"]


def test_what_cannot_change_an_answer_is_left_out_and_new_keys_pass() -> None:
    made = messages_requests.of({**ASKED, "seed": 7, "store": True, "n": 1, "top_k": 5})
    assert not {"seed", "store", "n"} & made.keys()
    assert made["top_k"] == 5


@pytest.mark.parametrize(
    "body",
    [
        {"n": 2},
        {"web_search_options": {"x": 1}},
        {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        {"messages": [5]},
        {"messages": "x"},
        {"tools": [{"type": "web_search"}]},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_what_has_no_counterpart_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(RequestRejected):
        messages_requests.of({**ASKED, **body})
