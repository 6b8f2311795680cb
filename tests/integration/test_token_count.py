"""The provider's count of tokens, asked of a real server."""

import json
from collections.abc import Mapping

import pytest

from app import errors
from app.providers.free import token_count
from config import settings
from tests.support.webhook_receiver import receiving

KEY = "sk-ant-of-the-operator"
ASKED = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Why?"}]}


def count(url: str) -> Mapping[str, object]:
    chosen = settings.read({"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url})
    return token_count.count(ASKED, {}, chosen)


def test_a_refusal_that_repeats_the_key_does_not_tell_it() -> None:
    said = {"type": "error", "error": {"type": "invalid_request_error", "message": f"not with {KEY}"}}

    with (
        receiving(status=400, content=json.dumps(said).encode()) as server,
        pytest.raises(errors.RequestRejected) as refused,
    ):
        count(server.url)

    for told in (refused.value.message, str(refused.value.body)):
        assert "[the key]" in told
        assert KEY not in told


def test_an_answer_that_is_longer_than_any_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_count, "LONGEST", 100)
    answer = {"input_tokens": 7}

    with receiving(status=200, content=json.dumps(answer).encode()) as server:
        assert count(server.url) == answer
    with (
        receiving(status=200, content=json.dumps(answer).encode() + b" " * 100) as server,
        pytest.raises(errors.BadAnswer, match="over 100 bytes"),
    ):
        count(server.url)


def test_an_answer_that_does_not_end_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def late() -> None:
        monkeypatch.setattr(token_count, "SECONDS", -1.0)  # from here on; the call has waited as it should

    with (
        receiving(status=200, content=b'{"input_tokens": 7}', before=late) as server,
        pytest.raises(errors.TimedOut),
    ):
        count(server.url)
