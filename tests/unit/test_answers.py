"""Reading a Messages answer."""

import json
from typing import Any

import pytest

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
    "body",
    [
        b"",
        b"<html>Bad Gateway</html>",
        as_bytes()[:-5],
        b"[1]",
        b'"message"',
        b'{"type":"error","error":{}}',
        b"\xff\xfe" + as_bytes(),
        as_bytes().replace(b"3", b"NaN"),
        as_bytes().replace(b"hello", b"a\nb"),
        b"[" * 100_000,
        b"1" * 10_000,
        as_bytes(usage=None),
        as_bytes(usage=[]),
        as_bytes(usage={"input_tokens": -1}),
        as_bytes(usage={"input_tokens": 1.5}),
        as_bytes(usage={"input_tokens": True}),
        as_bytes(usage={"input_tokens": 1, "cache_creation": [1]}),
        as_bytes(content=None),
        as_bytes(content="hello"),
        as_bytes(content=[{"type": "text"}]),
        as_bytes(content=[{"type": "text", "text": 1}]),
        as_bytes(content=["hello"]),
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
