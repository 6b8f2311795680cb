"""The provider that tests talk to: its faults strike whom they name, and its books are true."""

import hashlib
import json
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.upstream import Upstream


def ask(upstream: Upstream, text: str) -> int:
    """The status of one request, asked without any client of ours."""
    message = {"role": "user", "content": text}
    body = json.dumps({"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [message]}).encode()
    request = urllib.request.Request(f"{upstream.url}/v1/messages", body, {"x-api-key": "sk-upstream-test"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_every_request_is_in_the_books(upstream: Upstream) -> None:
    ask(upstream, "x" * 600)
    (seen,) = upstream.books()
    assert (seen["outcome"], seen["key"], seen["text"]) == ("answered", "sk-upstream-", "x" * 500)
    assert seen["input_tokens"] > 150
    assert len(seen["sha256"]) == hashlib.sha256().digest_size * 2
    assert upstream.summary()["input_tokens"] == seen["input_tokens"]


def test_no_more_pass_in_a_window_than_its_limit(upstream: Upstream) -> None:
    upstream.configure(requests_per_minute=5, window_seconds=60)
    assert [ask(upstream, f"number {n}") for n in range(8)] == [200] * 5 + [429] * 3


def test_a_fault_strikes_those_that_it_names(upstream: Upstream) -> None:
    upstream.configure(
        faults=[
            {"kind": "status", "status": 400, "matching": "rude"},
            {"kind": "status", "status": 529, "first": 2},
            {"kind": "status", "status": 500, "first_of_each": 1, "matching": "twice"},
        ]
    )
    texts = ["rude", "a", "b", "c", "rude", "twice", "twice", "other, twice"]
    assert [ask(upstream, text) for text in texts] == [400, 529, 529, 200, 400, 500, 200, 500]


def test_a_share_is_chosen_by_the_requests_bytes(upstream: Upstream) -> None:
    upstream.configure(faults=[{"kind": "status", "status": 500, "share": 0.3}])
    first = [ask(upstream, f"number {n}") for n in range(200)]
    again = [ask(upstream, f"number {n}") for n in range(200)]
    assert first == again
    assert 35 <= Counter(first)[500] <= 85


def test_calls_at_the_same_time_are_counted(upstream: Upstream) -> None:
    upstream.configure(latency_ms=200)
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda n: ask(upstream, f"number {n}"), range(8))) == {200}
    assert upstream.summary()["most_in_flight"] == 8


def test_a_wish_that_is_not_known_is_refused(upstream: Upstream) -> None:
    with pytest.raises(ValueError, match="latency"):
        upstream.configure(latency=1)
    with pytest.raises(ValueError, match="meteor"):
        upstream.configure(faults=[{"kind": "meteor"}])


def test_it_can_come_back_at_the_same_address() -> None:
    with Upstream() as first:
        port = int(first.url.rpartition(":")[2])
    with Upstream(port) as second:
        assert second.url == first.url
        assert ask(second, "hello again") == 200
