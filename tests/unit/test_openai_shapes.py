"""Requests and answers between Messages and an OpenAI-compatible API: nothing that counts is lost."""

import json
from typing import Any

import pytest

from app.providers import openai_answers, openai_limits, openai_requests, shapes
from app.providers.client import RateLimits, Usage

PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
CALL = {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "soup"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "hot"}, PICTURE]}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}
CLOSED = {**OPEN, "required": ["a"], "additionalProperties": False}


def chat(**params: Any) -> dict[str, Any]:
    asked = {"model": "gpt-4o", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]}
    return openai_requests.of(asked | params)[1]


def test_a_conversation_with_tools_and_pictures_keeps_its_order() -> None:
    made = chat(
        system=[
            {"type": "text", "text": "Be", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "brief."},
        ],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Look"}, PICTURE]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm"}, CALL]},
            {"role": "user", "content": [RESULT, {"type": "text", "text": "And?"}]},
        ],
    )
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    call = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"at": "soup"}'}}
    assert made["messages"] == [
        {"role": "system", "content": "Be\n\nbrief."},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, picture]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": "hot"},
        {"role": "user", "content": [picture, {"type": "text", "text": "And?"}]},
    ]


def test_tools_and_the_choice_among_them_are_said_in_its_words() -> None:
    tool = {"name": "look", "description": "Look.", "input_schema": OPEN}
    made = chat(tools=[tool], tool_choice={"type": "tool", "name": "look", "disable_parallel_tool_use": True})
    function = {"name": "look", "description": "Look.", "parameters": OPEN}
    assert made["tools"] == [{"type": "function", "function": function}]
    assert made["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    assert made["parallel_tool_calls"] is False
    for ours, its in (("auto", "auto"), ("any", "required"), ("none", "none")):
        assert chat(tool_choice={"type": ours})["tool_choice"] == its


def test_what_both_have_passes_and_what_only_claude_heeds_does_not() -> None:
    made = chat(
        temperature=0.5,
        seed=7,
        stop_sequences=["END"],
        metadata={"user_id": "u"},
        thinking={"type": "enabled"},
    )
    assert (made["temperature"], made["seed"], made["stop"], made["user"]) == (0.5, 7, ["END"], "u")
    assert "thinking" not in made
    assert "metadata" not in made


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "max_tokens"),
        ("llama3.2", "max_tokens"),
        ("gpt-4-turbo", "max_tokens"),
        ("o3-mini", "max_completion_tokens"),
        ("gpt-5.5", "max_completion_tokens"),
        ("openai/gpt-6-sol", "max_completion_tokens"),
    ],
)
def test_models_that_think_take_another_bound(model: str, name: str) -> None:
    made = chat(model=model)
    assert made[name] == 9
    assert len({"max_tokens", "max_completion_tokens"} & made.keys()) == 1


@pytest.mark.parametrize(("schema", "strict"), [(CLOSED, True), (OPEN, None), ({"type": "object"}, None)])
def test_a_schema_is_enforced_where_it_can_be(schema: dict[str, Any], strict: bool | None) -> None:
    made = chat(output_config={"effort": "low", "format": {"type": "json_schema", "schema": schema}})
    assert made["response_format"]["json_schema"]["schema"] == schema
    assert made["response_format"]["json_schema"].get("strict") is strict
    assert made["reasoning_effort"] == "low"


COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 5,
    "model": "gpt-4o",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {
                        "id": "t1",
                        "type": "function",
                        "function": {"name": "look", "arguments": '{"at": "soup"}'},
                    }
                ],
            },
        }
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6}},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "Let me look."}, CALL],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 4, "output_tokens": 4, "cache_read_input_tokens": 6},
}


def test_a_chat_completion_is_shown_as_a_message() -> None:
    shown = shapes.message_of(json.dumps(COMPLETION).encode())
    assert shown["content"] == MESSAGE["content"]
    assert (shown["type"], shown["stop_reason"]) == ("message", "tool_use")
    assert shown["usage"] == {
        "input_tokens": 4,
        "output_tokens": 4,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 6,
    }


def test_a_message_is_shown_as_a_chat_completion() -> None:
    shown = shapes.chat_completion_of(json.dumps(MESSAGE).encode())
    (choice,) = shown["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me look."
    assert choice["message"]["tool_calls"] == COMPLETION["choices"][0]["message"]["tool_calls"]
    assert shown["usage"]["prompt_tokens"] == 10
    assert shown["usage"]["prompt_tokens_details"] == {"cached_tokens": 6}


def test_what_has_the_shape_already_stays_as_it_is() -> None:
    assert shapes.message_of(json.dumps(MESSAGE).encode()) == MESSAGE
    assert shapes.chat_completion_of(json.dumps(COMPLETION).encode()) == COMPLETION


def answer(**parts: Any) -> dict[str, Any]:
    return {**COMPLETION, "choices": [{"index": 0, **parts}]}


@pytest.mark.parametrize(
    ("found", "reason", "text"),
    [
        (answer(finish_reason="stop", message={"content": "a"}), "end_turn", "a"),
        (
            answer(finish_reason="length", message={"content": [{"type": "text", "text": "a"}]}),
            "max_tokens",
            "a",
        ),
        (answer(finish_reason="content_filter", message={"content": None}), "refusal", ""),
        (answer(finish_reason="stop", message={"content": None, "refusal": "No."}), "refusal", "No."),
        (answer(finish_reason="pause_turn", message={"content": "a"}), "end_turn", "a"),
        (answer(finish_reason=None, message=None), None, ""),
        ({"choices": []}, None, ""),
        (
            {"output": [], "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "max_tokens",
            "",
        ),
        ({"output": [{"type": "function_call", "call_id": "t"}], "status": "completed"}, "tool_use", ""),
        (
            {"output": [{"content": [{"type": "refusal", "refusal": "No."}]}], "status": "completed"},
            "refusal",
            "No.",
        ),
    ],
)
def test_why_an_answer_ended_is_said_in_our_words(
    found: dict[str, Any], reason: str | None, text: str
) -> None:
    assert openai_answers.is_answer(found)
    assert openai_answers.stop_reason_of(found) == reason
    assert openai_answers.text_of(found) == text


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, Usage(5, 2)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(5, 2)),
        (
            {"input_tokens": 5, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 9}},
            Usage(0, 2, 5),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 4},
            },
            Usage(2, 2, 3, 4),
        ),
        ({"prompt_tokens": 5}, None),
        ({"prompt_tokens": -1, "completion_tokens": 2}, None),
        ({"prompt_tokens": "5", "completion_tokens": 2}, None),
        ({}, None),
        (None, None),
        ("none", None),
    ],
)
def test_what_a_call_took_is_read_or_unknown(usage: Any, expected: Usage | None) -> None:
    assert openai_answers.usage_of({**COMPLETION, "usage": usage}) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360),
        ("20ms", 0.02),
        ("1h2m3s", 3_723),
        ("7.66s", 7.66),
        ("2m59.56s", 179.56),
        ("1d", 86_400),
        ("1m", 60),
        ("12", 12),
        ("", None),
        ("soon", None),
        ("-1s", None),
    ],
)
def test_a_duration_is_read(text: str, seconds: float | None) -> None:
    assert openai_limits.duration(text) == (None if seconds is None else pytest.approx(seconds))


def headers(kind: str, limit: str, remaining: str, reset: str) -> dict[str, str]:
    values = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{what}-{kind}": value for what, value in values.items()}


@pytest.mark.parametrize(
    ("said", "limits"),
    [
        (headers("requests", "500", "499", "120ms"), RateLimits(requests=500)),
        (headers("tokens", "200000", "199990", "3ms"), RateLimits(input_tokens=200_000)),
        (headers("requests", "10000", "9999", "8.64s"), RateLimits(requests=6)),  # a day's
        (headers("requests", "60", "60", "0s"), RateLimits(requests=60)),
        (headers("requests", "60", "", "2026-11-27T00:00:00Z"), RateLimits(requests=60)),
        (headers("requests", "inf", "1", "1s"), None),
        (headers("requests", "0", "0", "1s"), None),
        ({}, None),
    ],
)
def test_limits_are_for_a_minute_even_where_they_are_a_days(
    said: dict[str, str], limits: RateLimits | None
) -> None:
    assert openai_limits.rate_limits(said) == limits
