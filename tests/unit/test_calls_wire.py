"""What a call asks, and how its end is said in the terms of either API."""

import json

import pytest

from app.dialects.calls import wire
from app.dialects.calls.model_list import display_name
from app.errors import BadRequest, NotFound
from app.services.attended import Failure

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

    shown = json.loads(wire.MESSAGES.answer(json.dumps(body).encode()))

    assert shown["content"] == [{"type": "text", "text": "Because."}]
    message = b'{"type":"message",  "content":[]}'
    assert wire.MESSAGES.answer(message) == message


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {"max_tokens": 1, "messages": ASKED},
        {"model": 5, "max_tokens": 1, "messages": ASKED},
        {"model": "simulated", "messages": ASKED},
        {"model": "simulated", "max_tokens": True, "messages": ASKED},
        {"model": "simulated", "max_tokens": 1, "messages": []},
        {"model": "simulated", "max_tokens": 1, "messages": ["why"]},
        {"model": "simulated", "max_tokens": 1, "messages": ASKED, "stream": "yes"},
    ],
)
def test_what_no_provider_could_be_asked_is_a_400(wrong):
    with pytest.raises(BadRequest):
        wire.message_call(wrong, 100)


@pytest.mark.parametrize("model", ["no-such-model", "inference:double", "none"])
def test_a_model_that_answers_no_messages_is_a_404(model):
    with pytest.raises(NotFound, match=model):
        wire.message_call({"model": model, "max_tokens": 1, "messages": ASKED}, 100)


def test_whether_it_is_streamed_is_no_part_of_what_is_asked():
    call = wire.message_call({"model": "simulated", "max_tokens": 9, "messages": ASKED, "stream": True}, 100)
    raw = wire.raw_call("/v1/responses", {"model": "simulated", "input": "Why?", "stream": False}, 100)

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
