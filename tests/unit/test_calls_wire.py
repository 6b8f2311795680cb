"""What a call asks, and how its end is said in the terms of either API."""

import json

import pytest

from app.dialects.calls import wire
from app.dialects.calls.model_list import display_name
from app.errors import BadRequest, NotFound
from app.providers.openai_requests import CHAT
from app.providers.streams import completions, messages, sse
from app.services.attended import Failure
from app.web.error_shapes import Fault

ASKED = [{"role": "user", "content": "Why?"}]
OF_ANTHROPIC = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
OF_OPENAI = {"error": {"message": "busy", "type": "server_error", "param": None, "code": None}}


def failure(body):
    return Failure(529, "overloaded", "busy", body, None)


def test_a_providers_words_pass_in_the_api_that_they_are_of():
    assert wire.MESSAGES.failure(failure(OF_ANTHROPIC), "r") == OF_ANTHROPIC
    assert wire.OPENAI.failure(failure(OF_OPENAI), "r") == OF_OPENAI


def test_a_providers_words_are_put_into_the_other_api():
    other = wire.MESSAGES.failure(failure(OF_OPENAI), "r")
    assert other["error"] == {"type": "overloaded_error", "message": "busy"}
    assert other["request_id"] == "r"
    assert wire.OPENAI.failure(failure(OF_ANTHROPIC), "r")["error"]["message"] == "busy"
    assert wire.MESSAGES.failure(failure(None), "r")["error"]["message"] == "busy"


def test_an_answer_of_the_other_shape_is_shown_as_a_message():
    said = {"role": "assistant", "content": "Because."}
    body = {"id": "c1", "model": "gpt", "choices": [{"message": said, "finish_reason": "stop"}]}

    call = wire.message_call({"model": "simulated", "max_tokens": 9, "messages": ASKED}, 100, {})
    shown = json.loads(wire.MESSAGES.answer(json.dumps(body).encode(), call))

    assert shown["content"] == [{"type": "text", "text": "Because."}]
    message = b'{"type":"message",  "content":[]}'
    assert wire.MESSAGES.answer(message, call) == message


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {"max_tokens": 1, "messages": ASKED},
        {"model": 5, "max_tokens": 1, "messages": ASKED},
        {"model": "simulated\n", "max_tokens": 1, "messages": ASKED},
        {"model": "gpt-\x1b[31m", "max_tokens": 1, "messages": ASKED},
        {"model": "simulated", "messages": ASKED},
        {"model": "simulated", "max_tokens": True, "messages": ASKED},
        {"model": "simulated", "max_tokens": 1, "messages": []},
        {"model": "simulated", "max_tokens": 1, "messages": ["why"]},
        {"model": "simulated", "max_tokens": 1, "messages": ASKED, "stream": "yes"},
    ],
)
def test_what_no_provider_could_be_asked_is_a_400(wrong):
    with pytest.raises(BadRequest):
        wire.message_call(wrong, 100, {})


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"model": 5}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": ["why"]}, "messages.0"),
        ({"stream": "yes"}, "stream"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": True}, "max_tokens"),
    ],
)
def test_a_refusal_names_the_field_at_fault(wrong, field):
    with pytest.raises(BadRequest, match=f"^{field}: ") as refused:
        wire.raw_call(CHAT, {"model": "simulated", "messages": ASKED, **wrong}, 100, {})

    error = refused.value
    said = wire.OPENAI.shape(Fault(error.status, error.type, error.message, "r", error.details))["error"]
    assert said["param"] == field


@pytest.mark.parametrize("model", ["no-such-model", "inference:double", "none"])
def test_a_model_that_answers_no_messages_is_a_404(model):
    with pytest.raises(NotFound, match=model):
        wire.message_call({"model": model, "max_tokens": 1, "messages": ASKED}, 100, {})


def test_whether_it_is_streamed_is_no_part_of_what_is_asked():
    call = wire.message_call(
        {"model": "simulated", "max_tokens": 9, "messages": ASKED, "stream": True}, 100, {}
    )
    raw = wire.raw_call("/v1/responses", {"model": "simulated", "input": "Why?", "stream": False}, 100, {})

    assert call.streamed
    assert "stream" not in json.loads(call.draft.body)["params"]
    assert not raw.streamed
    assert json.loads(raw.draft.body) == {
        "url": "/v1/responses",
        "body": {"model": "simulated", "input": "Why?"},
    }


def test_a_models_name_for_people():
    assert display_name("claude-haiku-4-5") == "Claude Haiku 4.5"
    assert display_name("claude-opus-4-5-20251101") == "Claude Opus 4.5 20251101"
    assert display_name("simulated") == "Simulated"


def test_a_chat_completion_of_claude_is_shown_in_chunks():
    body = {"model": "claude-haiku-4-5", "messages": ASKED, "stream_options": {"include_usage": True}}
    call = wire.raw_call(CHAT, body, 100, {})
    message = {
        "id": "m1",
        "model": "claude-haiku-4-5",
        "content": [
            {"type": "text", "text": "I look it up."},
            {"type": "tool_use", "id": "t1", "name": "look", "input": {"choices": [1]}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 9, "output_tokens": 4},
    }
    raw = b"".join(messages.events(message))

    assembly, cutter = completions.Assembly(), sse.Cutter()
    for place in range(0, len(raw), 11):
        for event in cutter.feed(call.chunks.feed(raw[place : place + 11])):
            assembly.add(event.json())

    [choice] = assembly.whole["choices"]
    whole = json.loads(wire.OPENAI.answer(json.dumps(message).encode(), call))["choices"][0]
    assert choice["message"]["content"] == whole["message"]["content"] == "I look it up."
    assert choice["finish_reason"] == whole["finish_reason"] == "tool_calls"
    called, known = (one["message"]["tool_calls"][0]["function"] for one in (choice, whole))
    assert (called["name"], json.loads(called["arguments"])) == ("look", {"choices": [1]})
    assert json.loads(known["arguments"]) == {"choices": [1]}
    assert assembly.whole["usage"]["total_tokens"] == 13


def test_what_belongs_to_a_call_says_what_its_model_takes_and_its_client_said():
    said = {"anthropic-version": "2023-06-01"}
    ours = wire.message_call({"model": "simulated", "max_tokens": 9, "messages": ASKED}, 100, said).defaults
    claudes = wire.raw_call(CHAT, {"model": "claude-haiku-4-5", "messages": ASKED}, 100, said).defaults

    assert (ours.whole, claudes.whole) == (True, False)
    assert ours.headers == claudes.headers == said
