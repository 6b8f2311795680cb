"""Clients whose answers may also be streamed: what is handed on is what is answered."""

import json
from functools import partial
from typing import Any

import pytest

from app import errors
from app.providers import first_byte, transport
from app.providers.client import Reply, Streaming
from app.providers.streams import completions, messages, sse
from tests.support.provider_subjects import KEY, OPENAI_KEY, OpenAI, Subject

CHAT = "/v1/chat/completions"


@pytest.fixture(params=["simulated", "claude", "openai"])
def streaming(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["claude", "openai"])
def over_connections(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.getfixturevalue(request.param)
    return found


def stream(subject: Subject, asked: dict[str, Any], handed_on: list[bytes]) -> Reply:
    assert isinstance(subject.client, Streaming)
    return subject.runner.run(subject.client.stream(asked, deadline=30, attempt=1, hand_on=handed_on.append))


def chat(subject: Subject, **more: Any) -> dict[str, Any]:
    """A whole request for a path, as a record's request is built."""
    asked = subject.request()
    body = {"model": asked["model"], "messages": asked["messages"], **more}
    return {"model": asked["model"], "max_tokens": 100, "url": CHAT, "body": body}


def assembled(form: Any, handed_on: list[bytes]) -> Any:
    cutter, assembly = sse.Cutter(), form.Assembly()
    for event in handed_on:
        for one in cutter.feed(event):
            assembly.add(one.json())
    assert assembly.is_whole
    return assembly.whole


def test_what_is_handed_on_makes_the_answer(streaming: Subject) -> None:
    handed_on: list[bytes] = []

    reply = stream(streaming, streaming.request(), handed_on)

    assert len(handed_on) > 3
    assert all(event.endswith(b"\n\n") for event in handed_on)
    assert assembled(messages, handed_on)["content"][0]["text"] == reply.text != ""
    assert reply.usage is not None
    assert reply.usage.output_tokens > 0
    assert reply.request_id


def test_the_first_byte_is_noted_before_the_answer_is_whole(over_connections: Subject) -> None:
    client = over_connections.client
    assert isinstance(client, Streaming)
    noted: list[float | None] = []

    async def streamed() -> None:
        first_byte.expect()
        asked = over_connections.request()
        await client.stream(asked, deadline=30, attempt=1, hand_on=lambda _: noted.append(first_byte.took()))

    async def too_long_for_a_connection() -> None:
        first_byte.expect()
        await client.ask(over_connections.request(max_tokens=64_000), deadline=30, attempt=1)
        noted.append(first_byte.took())

    over_connections.runner.run(streamed())
    over_connections.runner.run(too_long_for_a_connection())
    assert all(noted)


def test_a_refusal_hands_nothing_on(streaming: Subject) -> None:
    streaming.misbehave(errors.Overloaded)
    handed_on: list[bytes] = []

    with pytest.raises(errors.Overloaded):
        stream(streaming, streaming.request(), handed_on)

    assert handed_on == []


@pytest.mark.parametrize(
    ("fault", "kind"), [("cut_midway", errors.ConnectionCut), ("stream_error", errors.Overloaded)]
)
def test_a_stream_that_breaks_off_hands_on_whole_events_alone(
    claude: Any, fault: str, kind: type[errors.ProviderError]
) -> None:
    claude.fault(kind=fault)
    handed_on: list[bytes] = []

    with pytest.raises(kind):
        stream(claude, claude.request(), handed_on)

    assert handed_on
    assert all(event.startswith(b"event: ") and event.endswith(b"\n\n") for event in handed_on)
    assert not any(b"event: error" in event for event in handed_on)


def test_a_completion_is_streamed_as_it_comes_and_its_usage_is_for_the_books(openai: OpenAI) -> None:
    quiet: list[bytes] = []
    told: list[bytes] = []

    reply = stream(openai, chat(openai), quiet)
    stream(openai, chat(openai, stream_options={"include_usage": True}), told)

    assert quiet[-1] == told[-1] == b"data: [DONE]\n\n"
    assert json.loads(reply.body)["choices"] == assembled(completions, quiet)["choices"]
    assert reply.usage is not None
    assert reply.usage.output_tokens > 0
    assert not any(b'"choices": []' in chunk for chunk in quiet)
    assert any(b'"choices": []' in chunk for chunk in told)


def test_a_completion_that_is_cut_is_not_taken_for_a_whole_one(openai: OpenAI) -> None:
    openai.fault(kind="cut_midway")

    with pytest.raises(errors.ConnectionCut):
        stream(openai, chat(openai), [])


def test_what_came_of_an_answer_before_its_failure_may_be_billed(claude: Any) -> None:
    claude.fault(kind="stream_error")
    handed_on: list[bytes] = []

    with pytest.raises(errors.Overloaded) as failed:
        stream(claude, claude.request(), handed_on)

    assert failed.value.booking is errors.Booking.UNCONFIRMED


def test_an_answer_that_is_longer_than_any_is_given_up(
    over_connections: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LONGEST_ANSWER", 100)

    with pytest.raises(errors.BadAnswer, match="over 100 bytes"):
        stream(over_connections, over_connections.request(), [])
    with pytest.raises(errors.BadAnswer, match="over 100 bytes"):
        over_connections.runner.run(
            over_connections.client.ask(over_connections.request(), deadline=30, attempt=1)
        )


def test_a_long_answer_of_claude_is_given_up_too(claude: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LONGEST_ANSWER", 100)

    with pytest.raises(errors.BadAnswer, match="over 100 bytes"):
        claude.ask(max_tokens=100_000)  # which is asked for as a stream


@pytest.mark.parametrize("streamed", [False, True])
def test_a_refusal_that_repeats_the_key_does_not_tell_it(over_connections: Any, streamed: bool) -> None:
    over_connections.fault(kind="status", status=400, message=f"neither {KEY} nor {OPENAI_KEY}")
    asked = over_connections.request()
    call = partial(stream, over_connections, asked, []) if streamed else over_connections.ask

    with pytest.raises(errors.RequestRejected) as refused:
        call()

    for told in (refused.value.message, str(refused.value.body)):
        assert told.count("[the key]") == 1  # its own; it does not know the other one
        assert (KEY in told) is not (OPENAI_KEY in told)
