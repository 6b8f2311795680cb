"""Reading a Messages answer."""

import json
from typing import Any

import pytest

from app import errors
from app.errors import BadAnswer
from app.providers import answers
from app.providers.client import Usage


def message(**parts: Any) -> dict[str, Any]:
    return {
        "type": "message",
        "content": [{"type": "text", "text": "hello"}],
        "usage": {"input_tokens": 3, "output_tokens": 4},
    } | parts


def as_bytes(**parts: Any) -> bytes:
    return json.dumps(message(**parts)).encode()


def test_the_text_of_an_answer_is_that_of_its_text_blocks() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "text", "text": "one, "},
        {"type": "tool_use", "id": "t", "name": "n", "input": {}},
        {"type": "text", "text": "two"},
    ]
    assert answers.read(as_bytes(content=content), None).text == "one, two"


def test_each_kind_of_token_is_counted_by_itself() -> None:
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 9,
        "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5},
        "server_tool_use": {"web_search_requests": 6},
    }
    assert answers.read(as_bytes(usage=usage), None).usage == Usage(1, 2, 3, 4, 5, {"web_search_requests": 6})


def test_what_is_null_or_absent_in_the_usage_counts_nothing() -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "cache_creation": None, "server_tool_use": None}
    assert answers.read(as_bytes(usage=usage), None).usage == Usage(1, 2)


@pytest.mark.parametrize(
    ("told", "tier"), [("batch", "batch"), ("standard", "standard"), (None, None), (3, None)]
)
def test_an_answer_says_at_whose_price_it_was_made(told: object, tier: str | None) -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "service_tier": told}
    assert answers.read(as_bytes(usage=usage), None).usage.service_tier == tier


def test_cache_writes_without_their_kinds_are_those_of_five_minutes() -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "cache_creation_input_tokens": 7}
    assert answers.read(as_bytes(usage=usage), None).usage.cache_write_5m_tokens == 7


def test_the_body_is_one_line_and_otherwise_the_bytes_as_they_came() -> None:
    body = (
        b'{ "type":"message",\r\n "z": 1.50,\n"content":[{"type":"text","text":"a\\n\xc3\xa9"}],"usage":{}}\n'
    )
    reply = answers.read(body, "req_1")
    assert reply.body == body.replace(b"\r", b" ").replace(b"\n", b" ")
    assert reply.text == "a\né"
    assert reply.request_id == "req_1"


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        {},
        "30 tokens",
        {"input_tokens": 3},
        {"output_tokens": 3},
        {"input_tokens": 3, "output_tokens": None},
        {"input_tokens": 0, "output_tokens": 4},
        {"input_tokens": 3, "output_tokens": 0},
        {"input_tokens": -1, "output_tokens": 4},
        {"input_tokens": 1.5, "output_tokens": 4},
        {"input_tokens": True, "output_tokens": 4},
        {"input_tokens": "3", "output_tokens": 4},
        {"input_tokens": 2**31, "output_tokens": 4},
        {"input_tokens": 1, "output_tokens": 4, "cache_creation": [1]},
        {"input_tokens": 1, "output_tokens": 4, "cache_read_input_tokens": "many"},
        {"input_tokens": 1, "output_tokens": 4, "server_tool_use": [1]},
    ],
)
def test_an_answer_whose_counts_cannot_be_read_is_one_of_unknown_usage(usage: object) -> None:
    reply = answers.read(as_bytes(usage=usage), None)
    assert reply.usage is None
    assert reply.text == "hello"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ([], ""),
        (7, ""),
        ("hello", "hello"),
        ({"type": "text", "text": "hello"}, "hello"),
        (["hello", {"text": " you"}], "hello you"),
        ([{"type": "text"}, {"type": "text", "text": None}, {"type": "text", "text": 1}, None], ""),
    ],
)
def test_content_in_another_form_gives_the_text_that_it_has(content: object, text: str) -> None:
    assert answers.read(as_bytes(content=content), None).text == text


THOUGHT = {"type": "thinking", "thinking": "Hm", "signature": "x"}
CALL = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (None, []),
        ([{"type": "text", "text": " \n"}, CALL], [CALL]),
        ([{"type": "text", "text": ""}], []),
        (["hello", {"text": "you", "citations": None}, 7, {"type": 7}], ["hello", "you"]),
        ([THOUGHT, {"type": "text", "text": "so "}], [THOUGHT, "so "]),
        ([{"type": "text", "text": "so"}, THOUGHT, {"type": "redacted_thinking", "data": "x"}], ["so"]),
        ([THOUGHT], []),
    ],
)
def test_an_earlier_answer_is_sent_as_its_provider_takes_it_back(content: object, sent: list[Any]) -> None:
    found = answers.sendable({"content": content})
    assert [block["text"] if block["type"] == "text" else block for block in found] == sent


def test_what_an_answer_is_to_go_on_with_does_not_end_in_spaces() -> None:
    paused = {"content": [{"type": "text", "text": "Let me "}, {"type": "text", "text": "look. \n"}]}
    texts = [block["text"] for block in answers.sendable(paused, is_last=True)]
    assert texts == ["Let me ", "look."]


@pytest.mark.parametrize(
    ("told", "reason"),
    [("max_tokens", "max_tokens"), ("of_its_own", "of_its_own"), (None, None), (3, None), ("", None)],
)
def test_an_answer_says_why_it_ended(told: object, reason: str | None) -> None:
    assert answers.read(as_bytes(stop_reason=told), None).stop_reason == reason


def test_the_reason_of_an_answers_end_can_be_stored_anywhere() -> None:
    reason = answers.read(as_bytes(stop_reason="\0" + "x" * 1_000), None).stop_reason
    assert reason == "\ufffd" + "x" * (answers.LONGEST_REASON - 1)


def test_a_refusal_says_what_the_provider_says_about_it() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "It asks for harm."}
    assert answers.read(as_bytes(stop_details=details), None).stop_details == "It asks for harm.; cyber"


def test_a_message_without_its_type_is_one() -> None:
    body = json.dumps({"content": [{"type": "text", "text": "hello"}]}).encode()
    assert answers.read(body, None).text == "hello"


def test_an_answer_and_its_continuation_are_one() -> None:
    # Given a paused answer that searched once, and its rest, which searched twice
    first, second = (
        answers.read(
            as_bytes(
                content=[{"type": "text", "text": text}],
                stop_reason=reason,
                usage={"input_tokens": 3, "output_tokens": 4, "server_tool_use": {"searches": count}},
            ),
            None,
        )
        for text, reason, count in (("one ", "pause_turn", 1), ("two", "end_turn", 2))
    )

    # When they are joined
    whole = answers.joined(first, second)

    # Then contents and counts are those of both, and the end that of the second
    assert (whole.text, whole.stop_reason) == ("one two", "end_turn")
    assert whole.usage == Usage(6, 8, server_tool_uses={"searches": 3})
    body = json.loads(whole.body)
    assert [block["text"] for block in body["content"]] == ["one ", "two"]
    assert body["usage"] == {"input_tokens": 6, "output_tokens": 8, "server_tool_use": {"searches": 3}}

    # And they are unknown if one of them is
    unknown = answers.read(as_bytes(usage=None), None)
    assert answers.joined(first, unknown).usage is None
    assert answers.joined(unknown, first).usage is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, errors.Overloaded),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}, errors.RateLimited),
        ({"type": "error", "error": {"type": "authentication_error"}}, errors.AccountRefused),
        ({"type": "error", "error": {"type": "invalid_request_error"}}, errors.RequestRejected),
        ({"type": "error", "error": {}}, errors.ServerFault),
        ({"error": {"code": 429, "message": "slow down"}}, errors.RateLimited),
        ({"error": {"code": "529"}}, errors.Overloaded),
        ({"error": {"code": "rate_limit_exceeded"}}, errors.RateLimited),
        ({"error": {"type": "invalid_request_error", "code": 503}}, errors.Overloaded),
        ({"error": {"code": 524}}, errors.GatewayTimeout),
        ({"error": "busy", "status": 503}, errors.Overloaded),
        ({"error": "busy", "content": None}, errors.Overloaded),
        ({"error": "no", "content": None}, errors.ServerFault),
        ({"error": {"code": ["429"]}}, errors.ServerFault),
    ],
)
def test_an_error_that_came_as_a_success_is_that_error(
    error: dict[str, Any], kind: type[errors.ProviderError]
) -> None:
    with pytest.raises(errors.ProviderError) as refused:
        answers.read(json.dumps(error).encode(), None, {"retry-after": "7"})
    assert type(refused.value) is kind
    assert kind is errors.AccountRefused or refused.value.retry_after == 7


def test_an_error_of_nothing_beside_an_answer_is_none() -> None:
    assert answers.read(as_bytes(error=None), None).text == "hello"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad Gateway</html>",
        as_bytes()[:-5],
        b"[1]",
        b'"message"',
        b"\xff\xfe" + as_bytes(),
        as_bytes().replace(b"3", b"NaN"),
        as_bytes().replace(b"hello", b"a\nb"),
        b"[" * 100_000,
        b"1" * 10_000,
    ],
)
def test_what_is_no_message_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer) as refused:
        answers.read(body, "req_1")
    assert refused.value.request_id == "req_1"
    assert len(refused.value.message) < 1_000


def test_a_bad_answers_message_can_be_stored_anywhere() -> None:
    with pytest.raises(BadAnswer) as refused:
        answers.read(b"a\x00b\xff", None)
    refused.value.message.encode()
    assert "\0" not in refused.value.message


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("length", "max_tokens"),
        ("MAX_TOKENS", "max_tokens"),
        ("content_filter", "refusal"),
        ("SAFETY", "refusal"),
        ("stop", "stop"),
    ],
)
def test_an_answer_that_a_relay_says_was_cut_or_refused_is_no_whole_one(said: str, reason: str) -> None:
    assert answers.read(as_bytes(stop_reason=said), None).stop_reason == reason


def test_a_mark_before_an_answer_costs_nobody_the_answer() -> None:
    reply = answers.read(b"\xef\xbb\xbf" + as_bytes(), None)

    assert (reply.text, reply.body) == ("hello", as_bytes())
