"""What every client of a provider promises, and what only Claude's can."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import pytest

from app import errors
from app.errors import Blame, Booking
from app.providers.client import Reply, Usage
from tests.support import odd_answers
from tests.support.provider_subjects import KEY, Anthropic, Simulated, Subject, claude_at
from tests.support.servers import free_port, wait_until
from tests.support.upstream import Upstream

LONG = 21_334  # tokens: the first number that may take over ten minutes

# Every client


def test_an_answer_is_one_json_object_in_one_line(subject: Subject) -> None:
    reply = subject.ask()
    assert isinstance(json.loads(reply.body), dict)
    assert b"\n" not in reply.body
    assert reply.text
    assert reply.request_id


def test_a_message_brings_its_text_and_what_it_used(speaker: Subject) -> None:
    reply = speaker.ask()
    message = json.loads(reply.body)
    assert message["type"] == "message"
    assert message["role"] == "assistant"
    assert message["stop_reason"] == "end_turn"
    assert reply.text == message["content"][0]["text"] != ""
    assert reply.usage.input_tokens == message["usage"]["input_tokens"] > 0
    assert reply.usage.output_tokens == message["usage"]["output_tokens"] > 0


def test_many_are_asked_at_once_and_each_gets_its_own_answer(subject: Subject) -> None:
    async def ask_all() -> list[Reply]:
        requests = (subject.numbered(number) for number in range(200))
        return await asyncio.gather(
            *(subject.client.ask(request, deadline=30, attempt=1) for request in requests)
        )

    for number, reply in enumerate(subject.runner.run(ask_all())):
        assert subject.names(reply, number)


@pytest.mark.parametrize(
    ("kind", "blame", "retryable", "booking"),
    [
        (errors.AccountRefused, Blame.ACCOUNT, True, Booking.ANSWERED),
        (errors.RateLimited, Blame.PROVIDER, True, Booking.ANSWERED),
        (errors.Overloaded, Blame.PROVIDER, True, Booking.ANSWERED),
        (errors.Unreachable, Blame.PROVIDER, True, Booking.UNSENT),
        (errors.RequestRejected, Blame.RECORD, False, Booking.ANSWERED),
        (errors.ServerFault, Blame.RECORD, True, Booking.ANSWERED),
        (errors.ConnectionCut, Blame.RECORD, True, Booking.UNCONFIRMED),
        (errors.BadAnswer, Blame.RECORD, True, Booking.UNCONFIRMED),
    ],
)
def test_a_failure_tells_whose_matter_it_is(
    subject: Subject, kind: type[errors.ProviderError], blame: Blame, retryable: bool, booking: Booking
) -> None:
    subject.misbehave(kind)
    failure = subject.refusal()
    assert type(failure) is kind
    assert (failure.blame, failure.retryable, failure.booking) == (blame, retryable, booking)
    assert failure.message


def test_a_call_ends_at_its_deadline(subject: Subject) -> None:
    # Given a provider that takes a minute
    subject.slow_down(60)

    # When it is asked for an answer within a fifth of a second
    started = time.monotonic()
    failure = subject.refusal(deadline=0.2)

    # Then it is a timeout, then; a loop's timers may be a millisecond early
    assert type(failure) is errors.TimedOut
    assert "0.2 s" in failure.message
    assert 0.19 <= time.monotonic() - started < 2


def test_a_cancelled_call_ends_at_once(subject: Subject) -> None:
    subject.slow_down(60)

    async def cancel() -> float:
        call = asyncio.create_task(subject.client.ask(subject.request(), deadline=30, attempt=1))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return time.monotonic() - started

    assert subject.runner.run(cancel()) < 1


# Claude


def seen(upstream: Upstream) -> dict[str, Any]:
    """The one request that arrived."""
    (only,) = upstream.books()
    return only


def test_a_request_arrives_whole_with_keys_that_nobody_knows(claude: Anthropic) -> None:
    # Given a request with keys of tomorrow and half a surrogate pair in its text
    claude.upstream.configure(keep_requests=True)
    tomorrow: dict[str, Any] = {
        "thinking": {"type": "of_tomorrow"},
        "frobnicate": {"level": [1, None, "é"]},
        "messages": [{"role": "user", "content": [{"type": "hologram", "text": "\ud83d and \0"}]}],
    }

    # When it is asked
    claude.ask(**tomorrow)

    # Then the provider saw it as it was
    assert seen(claude.upstream)["request"] == claude.request(**tomorrow)


def test_only_the_given_key_is_sent(
    runner: asyncio.Runner, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an environment full of other credentials
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-other")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-other")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "authorization: Bearer sk-stray\nx-api-key: sk-stray")
    upstream.configure(keep_requests=True)

    # When a client is given a key and an address
    claude = Anthropic(runner, upstream)
    claude.ask()
    runner.run(claude.client.close())

    # Then these alone are used
    headers = seen(upstream)["headers"]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert "x-api-key" not in headers


@pytest.mark.parametrize("max_tokens", [100, LONG])
def test_a_request_of_megabytes_arrives(claude: Anthropic, max_tokens: int) -> None:
    claude.upstream.configure(keep_requests=True)
    messages = [{"role": "user", "content": "x" * 3_000_000}]
    claude.ask(messages=messages, max_tokens=max_tokens)
    arrived = seen(claude.upstream)
    assert arrived["request"]["messages"] == messages
    assert int(arrived["headers"]["content-length"]) > 3_000_000


RAW = (
    '{"usage": {"output_tokens":2,"input_tokens":1 },\r\n  "zeta":1.10, "type":"message",\n'
    '"content":[{"text":"NUL \\u0000, half \\ud83d, \\/ and é","type":"text"}]}\n'
)


def test_the_bytes_of_an_answer_are_kept_as_they_came(claude: Anthropic) -> None:
    claude.fault(kind="body", body=RAW)
    reply = claude.ask()
    assert reply.body == RAW.replace("\r", " ").replace("\n", " ").encode()
    assert reply.text == "NUL \0, half \ud83d, / and é"
    assert reply.usage == Usage(input_tokens=1, output_tokens=2)


@pytest.mark.parametrize(
    ("model", "max_tokens", "streamed"),
    [
        ("claude-haiku-4-5", LONG - 1, False),
        ("claude-haiku-4-5", LONG, True),
        ("claude-opus-4-20250514", 8_192, False),
        ("claude-opus-4-20250514", 8_193, True),
    ],
)
def test_what_may_take_over_ten_minutes_is_streamed(
    claude: Anthropic, model: str, max_tokens: int, streamed: bool
) -> None:
    claude.ask(model=model, max_tokens=max_tokens)
    assert seen(claude.upstream)["streamed"] is streamed


@pytest.mark.parametrize(
    "text", ["A long answer in several pieces of twenty characters.", "\0 half \ud83d", "a\nb"]
)
def test_a_streamed_answer_has_the_shape_of_a_whole_one(claude: Anthropic, text: str) -> None:
    # Given a provider that says the same thing twice
    claude.fault(kind="answer", text=text)

    # When it is asked for the whole and for a stream
    whole, streamed = claude.ask(), claude.ask(max_tokens=LONG)

    # Then both answers are one message, but for their ids
    expected, found = json.loads(whole.body), json.loads(streamed.body)
    assert found.pop("id") != expected.pop("id")
    assert found == expected
    assert (streamed.text, streamed.usage) == (whole.text, whole.usage)
    assert streamed.request_id == "req_up_000002"
    assert b"\n" not in streamed.body


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "cut"}, errors.ConnectionCut),
        ({"kind": "reset"}, errors.ConnectionCut),
        ({"kind": "cut_midway"}, errors.ConnectionCut),
        ({"kind": "html"}, errors.Misdirected),
        ({"kind": "half_json"}, errors.BadAnswer),
        ({"kind": "body", "body": "[]"}, errors.BadAnswer),
        ({"kind": "body", "body": "no zip", "headers": {"content-encoding": "gzip"}}, errors.BadAnswer),
        ({"kind": "body", "body": "event: message_stop\ndata: {}\n\n"}, errors.BadAnswer),
    ],
)
@pytest.mark.parametrize("max_tokens", [100, LONG])
def test_a_broken_answer_is_told_by_how_it_broke(
    claude: Anthropic, fault: dict[str, Any], kind: type[errors.ProviderError], max_tokens: int
) -> None:
    claude.fault(**fault)
    failure = claude.refusal(max_tokens=max_tokens)
    assert type(failure) is kind
    assert failure.booking is not Booking.UNSENT
    assert len(claude.upstream.books()) == 1


START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 30, "output_tokens": 1},
    },
}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
PIECE = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "fine"}}
END = {
    "type": "message_delta",
    "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
    "usage": {"output_tokens": 20},
}
STOP = {"type": "message_stop"}


def without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != name}


@pytest.mark.parametrize(
    ("start", "end", "usage"),
    [
        (START, END, Usage(30, 20)),
        (START, without(END, "usage"), None),
        (START, END | {"usage": None}, None),
        (START, END | {"usage": {}}, None),
        (START | {"message": without(START["message"], "usage")}, END, None),
        (START | {"message": START["message"] | {"usage": None, "content": None}}, END, None),
    ],
)
def test_a_streamed_answer_is_kept_whatever_counts_it_leaves_out(
    claude: Anthropic, start: dict[str, Any], end: dict[str, Any], usage: Usage | None
) -> None:
    sent = odd_answers.stream(start, BLOCK, PIECE, {"type": "content_block_stop", "index": 0}, end, STOP)
    claude.fault(kind="body", body=sent, content_type="text/event-stream")

    reply = claude.ask(max_tokens=LONG)

    assert (reply.text, reply.stop_reason, reply.usage) == ("fine", "max_tokens", usage)


def test_a_gateway_that_does_not_stream_answers_all_the_same(claude: Anthropic) -> None:
    claude.fault(kind="body", body=odd_answers.message("fine"))
    assert claude.ask(max_tokens=LONG).text == "fine"


@pytest.mark.parametrize("max_tokens", [100, LONG])
def test_an_error_that_comes_as_a_success_is_that_error(claude: Anthropic, max_tokens: int) -> None:
    claude.fault(kind="body", body='{"error":{"code":429,"message":"slow"}}', headers={"retry-after": "7"})
    failure = claude.refusal(max_tokens=max_tokens)
    assert type(failure) is errors.RateLimited
    assert failure.retry_after == 7


# `odd_answers.message("fine")`, compressed
COMPRESSED = {
    "br": (
        "G9EAABwHdnPOiyR5Vi2rxECibakvvwMtiUm6ZNHpCxCC3AH7/Vr7ldBr0JZboHmQ28JHrHfMULx6C3NH7O9YeoCC2W"
        "6RidmdJkU766vd6r/r9VTP669jnYD6m1Kpqr/tLHylg3MF41kClaz+6Eq8iYLaImGgUT59vuY1cjj/L1HBPQ=="
    ),
    "zstd": (
        "KLUv/SDSrQQAskgcHWA1bgMIVvWCvSy+q68bZUfpMOygGqrYL0sMghAlz2MIuu0PGYNLZ81kW3VjlN251LRprZamLm"
        "M2itnmHzo8T2WIXwLIdgyX3pqtexQKQtEShokiV0PlUHLt0orNjBmVbRJB5kwmoH/oAYXw8ktf7E4NAOPcQPyJJhiH"
        "p81Ks13FqEIlQMXKGRpnHHDDppXUTiY="
    ),
}


@pytest.mark.parametrize("encoding", COMPRESSED)
@pytest.mark.parametrize("max_tokens", [100, LONG])
def test_an_answer_is_read_however_it_is_compressed(
    claude: Anthropic, encoding: str, max_tokens: int
) -> None:
    claude.fault(kind="body", encoded=COMPRESSED[encoding], headers={"content-encoding": encoding})
    assert claude.ask(max_tokens=max_tokens).text == "fine"


@pytest.mark.parametrize(
    ("type", "kind"), [("overloaded_error", errors.Overloaded), ("api_error", errors.ServerFault)]
)
def test_an_error_in_the_middle_of_a_stream_is_the_providers(
    claude: Anthropic, type: str, kind: Callable[..., errors.ProviderError]
) -> None:
    claude.fault(kind="stream_error", type=type)
    failure = claude.refusal(max_tokens=LONG)
    assert failure.__class__ is kind
    assert failure.message == "told to fail"
    assert failure.request_id == "req_up_000001"


@pytest.mark.parametrize("max_tokens", [100, LONG])
def test_a_refusal_is_told_in_the_providers_words(claude: Anthropic, max_tokens: int) -> None:
    claude.fault(kind="status", status=400, message="messages.0: is not nice")
    failure = claude.refusal(max_tokens=max_tokens)
    assert type(failure) is errors.RequestRejected
    assert failure.type == "invalid_request_error"
    assert failure.message == "messages.0: is not nice"
    assert failure.request_id == "req_up_000001"


def test_a_rate_limit_names_its_pause(claude: Anthropic) -> None:
    # Given a provider that takes one request in ten seconds
    claude.upstream.configure(requests_per_minute=1, window_seconds=10)
    claude.ask()

    # When it is asked again at once
    failure = claude.refusal()

    # Then it names the time that is left
    assert type(failure) is errors.RateLimited
    assert failure.retry_after is not None
    assert 1 <= failure.retry_after <= 10
    assert [each["outcome"] for each in claude.upstream.books()] == ["answered", "429"]


def test_a_spent_budget_is_the_accounts_matter(claude: Anthropic) -> None:
    claude.fault(kind="status", status=429, code="enforced_spend_limit_reached")
    failure = claude.refusal()
    assert type(failure) is errors.AccountRefused
    assert (failure.type, failure.retry_after) == ("enforced_spend_limit_reached", 3_600)


def test_a_redirect_is_not_followed(claude: Anthropic) -> None:
    claude.fault(kind="status", status=307, headers={"location": "/v1/messages"})
    assert claude.refusal().retryable
    assert len(claude.upstream.books()) == 1


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:{free}", "http://no-such-host.invalid", "https://{plain}"]
)
@pytest.mark.parametrize("max_tokens", [100, LONG])
def test_without_a_connection_nothing_was_sent(
    runner: asyncio.Runner, upstream: Upstream, address: str, max_tokens: int
) -> None:
    # Given an address where nobody listens, that nobody has, or that speaks no TLS
    url = address.format(free=free_port(), plain=upstream.url.removeprefix("http://"))
    client = claude_at(url, runner)

    # When it is asked
    failure = Subject(client, runner, model="claude-haiku-4-5").refusal(max_tokens=max_tokens)
    runner.run(client.close())

    # Then it is certain that nobody worked on it, and the reason is in nobody's own terms
    assert type(failure) is errors.Unreachable
    assert "ssl:default" not in failure.message
    assert failure.booking is Booking.UNSENT
    assert upstream.books() == []


def test_a_proxy_that_lets_nothing_through_is_an_outage(
    runner: asyncio.Runner, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", upstream.url)  # it answers CONNECT with a 404
    client = claude_at("https://no-such-host.invalid", runner)
    failure = Subject(client, runner, model="claude-haiku-4-5").refusal()
    runner.run(client.close())
    assert type(failure) is errors.Unreachable


def test_the_proxy_that_the_environment_names_is_used(
    runner: asyncio.Runner, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a proxy that wants to know who asks
    upstream.configure(keep_requests=True)
    monkeypatch.setenv("HTTP_PROXY", upstream.url.replace("//", "//user:secret@"))
    monkeypatch.setenv("NO_PROXY", "localhost")

    # When a client asks a provider that is reached only through it
    client = claude_at("http://no-such-host.invalid", runner)
    Subject(client, runner, model="claude-haiku-4-5").ask()
    runner.run(client.close())

    # Then it gets the call
    assert seen(upstream)["headers"]["proxy-authorization"].startswith("Basic ")


def test_a_slow_answer_that_keeps_coming_arrives(claude: Anthropic) -> None:
    claude.upstream.configure(interval_ms=5, faults=[{"kind": "trickle"}])
    assert claude.ask().text == "slowly"


@pytest.mark.parametrize("max_tokens", [100, LONG])
@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_the_deadline_holds_for_the_last_byte_too(claude: Anthropic, fault: str, max_tokens: int) -> None:
    claude.upstream.configure(interval_ms=60_000, faults=[{"kind": fault}])
    assert type(claude.refusal(deadline=0.2, max_tokens=max_tokens)) is errors.TimedOut
    wait_until(lambda: seen(claude.upstream)["disconnected"], what="the provider sees that the caller went")


@pytest.mark.parametrize("max_tokens", [100, LONG])
@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_a_cancelled_call_closes_its_connection(claude: Anthropic, fault: str, max_tokens: int) -> None:
    # Given a call that the provider is working on, or has begun to answer
    claude.upstream.configure(interval_ms=60_000, faults=[{"kind": fault}])

    async def arrival() -> None:
        while not await asyncio.to_thread(claude.upstream.books):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # the first piece of the answer, if there is one

    async def cancel() -> None:
        call = asyncio.create_task(
            claude.client.ask(claude.request(max_tokens=max_tokens), deadline=30, attempt=1)
        )
        await arrival()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    # When it is cancelled
    claude.runner.run(cancel())

    # Then the provider sees its caller go, and the client goes on
    wait_until(lambda: seen(claude.upstream)["disconnected"], what="the provider sees that the caller went")
    claude.upstream.configure(faults=[])
    assert claude.ask().text


def test_no_log_holds_a_prompt_or_a_key(claude: Anthropic, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        claude.ask(messages=[{"role": "user", "content": "my secret diary"}])
        claude.fault(kind="status", status=400, message="my secret diary is no request")
        claude.refusal(messages=[{"role": "user", "content": "my secret diary"}])
    assert "diary" not in caplog.text
    assert KEY not in caplog.text


# The simulated provider


def test_an_invented_answer_shows_that_it_is_one(simulated: Simulated) -> None:
    message = json.loads(simulated.ask().body)
    assert message["model"] == "simulated"
    assert message["id"].startswith("msg_sim_")
    assert message["content"][0]["text"].startswith("[simulated] ")


def test_an_invented_row_shows_that_it_is_one_and_depends_on_its_input_alone(simulated: Simulated) -> None:
    def ask(value: Any) -> dict[str, Any]:
        reply = simulated.runner.run(
            simulated.client.ask({"model": "simulated", "input": value}, deadline=5, attempt=1)
        )
        assert (reply.usage, json.loads(reply.text)) == (Usage(), json.loads(reply.body)["output"])
        message: dict[str, Any] = json.loads(reply.body)
        return message

    inputs = ([1, 2], [1, 3], 7, "text", True, [[0.5], [2.5]])
    answers = [ask(value) for value in inputs]
    assert all((answer["model"], answer["simulated"]) == ("simulated", True) for answer in answers)
    for answer in answers:
        assert len(answer["output"]) == 3
        assert min(answer["output"]) >= 0
        assert sum(answer["output"]) == pytest.approx(1)
    assert len({tuple(answer["output"]) for answer in answers}) == len(inputs)
    assert [ask(value) for value in inputs] == answers


def test_the_same_request_brings_the_same_answer(simulated: Simulated) -> None:
    assert simulated.ask() == simulated.ask(attempt=2)
    assert simulated.ask().body != simulated.ask(system="Be brief.").body


def test_a_structured_answer_fits_its_schema(simulated: Simulated) -> None:
    schema = {"type": "object", "properties": {"stars": {"type": "integer"}}, "required": ["stars"]}
    reply = simulated.ask(output_config={"format": {"type": "json_schema", "schema": schema}})
    jsonschema_rs.validate(schema, json.loads(reply.text))


def test_an_answer_has_the_length_that_is_asked_for(simulated: Simulated) -> None:
    reply = simulated.ask(simulate={"output_tokens": 57})
    assert reply.usage.output_tokens == 57


def test_an_answer_ends_at_max_tokens(simulated: Simulated) -> None:
    reply = simulated.ask(max_tokens=5, simulate={"output_tokens": 57})
    assert reply.usage.output_tokens == 5
    assert json.loads(reply.body)["stop_reason"] == "max_tokens"


def test_the_first_attempts_fail_and_the_next_brings_the_answer(simulated: Simulated) -> None:
    simulate = {"error": "server_error", "times": 2}
    for attempt in (1, 2):
        with pytest.raises(errors.ServerFault):
            simulated.ask(attempt=attempt, simulate=simulate)
    assert simulated.ask(attempt=3, simulate=simulate).text


def test_a_share_of_the_records_fails_and_always_the_same(simulated: Simulated) -> None:
    def failing() -> set[int]:
        simulate = {"error": "invalid_request", "share": 0.2, "latency_ms": 0}
        return {number for number in range(500) if not answered(number, simulate)}

    def answered(number: int, simulate: dict[str, Any]) -> bool:
        messages = [{"role": "user", "content": f"record {number}"}]
        try:
            simulated.ask(messages=messages, simulate=simulate)
        except errors.RequestRejected:
            return False
        return True

    first = failing()
    assert 70 <= len(first) <= 130
    assert failing() == first


@pytest.mark.parametrize(
    "simulate",
    [
        "slow",
        {"speed": 1},
        {"latency_ms": -1},
        {"latency_ms": "10"},
        {"latency_sigma": True},
        {"output_tokens": 1.5},
        {"share": 1.1},
        {"times": None},
        {"error": "broken_leg"},
        {"error": ["timeout"]},
    ],
)
def test_a_wish_that_is_not_known_is_refused_by_name(simulated: Simulated, simulate: Any) -> None:
    failure = simulated.refusal(simulate=simulate)
    assert type(failure) is errors.RequestRejected
    assert failure.type == "invalid_request_error"
    assert "simulate" in failure.message


@pytest.mark.parametrize(
    "params",
    [
        {"messages": []},
        {"messages": "hello"},
        {"max_tokens": 0},
        {"max_tokens": "100"},
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "of_tomorrow"}}}},
    ],
)
def test_a_request_that_no_provider_takes_is_refused(simulated: Simulated, params: dict[str, Any]) -> None:
    assert type(simulated.refusal(**params)) is errors.RequestRejected
