"""Whether the cost of a request has an upper bound."""

import pytest

from app.dialects.calls import wire
from app.errors import BadRequest
from app.ingest import bounds
from app.ingest.whole import bounds as whole
from app.providers.openai_requests import CHAT, COMPLETIONS, RESPONSES
from config import settings

ASKED = [{"role": "user", "content": "Why?"}]
ODD = [[], {}, 5, None, True]  # where a type is expected


def chat(**more):
    return {"model": "gpt-5", "messages": ASKED, "max_tokens": 9, **more}


@pytest.fixture(autouse=True)
def _endpoint(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    settings.current.cache_clear()


@pytest.mark.parametrize(
    "more",
    [
        {"n": 100},
        {"best_of": 5},
        {"service_tier": "priority"},
        {"prediction": {"type": "content", "content": "x"}},
        {"web_search_options": {"search_context_size": "high"}},
        {"tools": [{"type": "web_search"}]},
    ],
)
def test_what_costs_more_than_one_answer_is_found_in_a_single_call_too(more):
    assert whole.unbounded(CHAT, chat(**more))
    assert wire.raw_call(CHAT, chat(**more), 100, {}).draft.unbounded


@pytest.mark.parametrize("more", [{"n": 100}, {"best_of": 5}, {"prediction": {"content": "x"}}])
def test_a_messages_request_has_keys_of_other_apis_passed_on(more):
    request = {"model": "gpt-5", "messages": ASKED, "max_tokens": 9, **more}

    assert bounds.unbounded(request)
    assert wire.message_call(request, 100, {}).draft.unbounded


def test_a_single_call_must_bound_its_answer_as_a_batchs_line_must():
    assert wire.raw_call(CHAT, chat(max_tokens=None), 100, {}).draft.unbounded
    assert not wire.raw_call(CHAT, chat(), 100, {}).draft.unbounded
    translated = {"model": "claude-haiku-4-5", "messages": ASKED}
    assert not wire.raw_call(CHAT, translated, 100, {}).draft.unbounded  # it gets the usual bound


@pytest.mark.parametrize(
    ("path", "body", "most"),
    [
        (CHAT, {"max_tokens": 5000, "max_completion_tokens": 1}, 5000),
        (CHAT, {"max_output_tokens": 1}, None),
        (RESPONSES, {"max_output_tokens": 7, "max_tokens": 1}, 7),
        (RESPONSES, {"max_tokens": 1}, None),
        (COMPLETIONS, {"max_completion_tokens": 1, "max_tokens": 5000}, 5000),
        (CHAT, {"max_tokens": "5000"}, None),
        (CHAT, {"max_tokens": -5}, None),
        (CHAT, {"max_tokens": 10**9}, None),
    ],
)
def test_only_what_an_endpoint_heeds_bounds_an_answer(path, body, most):
    assert whole.most_tokens(path, body) == most


def test_nothing_is_left_to_run_when_the_caller_has_gone():
    with pytest.raises(BadRequest, match="background"):
        wire.raw_call(RESPONSES, {"model": "gpt-5", "input": "x", "background": True}, 100, {})


@pytest.mark.parametrize("odd", ODD)
def test_a_type_may_be_anything(odd):
    part = [{"role": "user", "type": odd, "content": [{"type": odd, "text": "x"}]}]
    for request in (chat(messages=part), chat(tools=[{"type": odd}]), chat(system=[{"type": odd}])):
        bounds.unbounded(request)
        whole.unbounded(CHAT, request)
        whole.unbounded(RESPONSES, {"max_output_tokens": 5, "input": request["messages"]})
