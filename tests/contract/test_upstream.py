"""The provider that tests talk to: its faults strike whom they name, and its books are true."""

import hashlib
import json
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.support import upstream_books
from tests.support.servers import wait_until
from tests.support.upstream import Upstream
from tests.support.upstream_books import Books, Seen

LIMIT = "anthropic-ratelimit-"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


def talk(upstream: Upstream, text: str, key: str = "sk-upstream-test", max_tokens: int = 10) -> Answer:
    """One request, asked without any client of ours."""
    message = {"role": "user", "content": text}
    asked = {"model": "claude-haiku-4-5", "max_tokens": max_tokens, "messages": [message]}
    request = urllib.request.Request(
        f"{upstream.url}/v1/messages", json.dumps(asked).encode(), {"x-api-key": key}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Answer(response.status, dict(response.headers), json.load(response))
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, dict(refused.headers), json.load(refused))


def ask(upstream: Upstream, text: str) -> int:
    return talk(upstream, text).status


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


def test_a_bucket_lets_as_much_through_as_it_holds_and_is_refilled_without_a_pause(
    upstream: Upstream,
) -> None:
    # Given ten requests a second, of which half a second's may come at once
    upstream.configure(token_bucket=True, requests_per_minute=600, burst_seconds=0.5)

    # When it is asked for two seconds as fast as it answers
    began, statuses = time.monotonic(), []
    while time.monotonic() - began < 2:
        statuses.append(ask(upstream, f"number {len(statuses)}"))

    # Then it admits the bucket, and ten in each second
    assert statuses[:5] == [200] * 5
    assert 23 <= Counter(statuses)[200] <= 26
    admitted = [seen["at"] for seen in upstream.books() if seen["admitted"]]
    assert max(later - sooner for sooner, later in pairwise(admitted)) < 0.5


def test_input_is_taken_on_arrival_without_what_the_cache_had(upstream: Upstream) -> None:
    # Given room for 1,000 tokens a minute, and requests of 520
    upstream.configure(input_tokens_per_minute=1_000)
    text = "x" * 2_043
    assert [ask(upstream, text + "1"), ask(upstream, text + "2")] == [200, 429]
    refused = talk(upstream, text)
    assert refused.message == "This request would exceed your limit of 1000 input tokens a minute"
    assert refused.body["error"]["type"] == "rate_limit_error"
    assert 1 <= int(refused.headers["retry-after"]) <= 3

    # When three quarters of them come out of the cache
    upstream.configure(cache_share=0.75, cache_write_share=0.125)

    # Then the 130 that do not are what counts: there is still room for three
    answers = [talk(upstream, text + str(n)) for n in range(5)]
    assert [answer.status for answer in answers] == [200] * 3 + [429] * 2
    usage = answers[0].body["usage"]
    assert (usage["input_tokens"], usage["cache_creation_input_tokens"]) == (65, 65)
    assert usage["cache_read_input_tokens"] == 390
    assert answers[0].headers[f"{LIMIT}input-tokens-remaining"] in {"350", "351", "352", "353", "354", "355"}


def test_output_is_taken_when_it_is_made(upstream: Upstream) -> None:
    # Given room for 100 tokens of output a minute, and answers of 250
    upstream.configure(output_tokens_per_minute=100, output_tokens=250, latency_ms=300)

    # When two calls come at once, nothing of theirs is known yet, and a third comes after
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(lambda n: talk(upstream, f"number {n}", max_tokens=1_000), range(2)))
    after = talk(upstream, "one more")

    # Then the third is refused until what the two owe is paid
    assert [answer.status for answer in [*together, after]] == [200, 200, 429]
    assert after.message == "This request would exceed your limit of 100 output tokens a minute"
    assert 230 <= int(after.headers["retry-after"]) <= 241
    assert together[0].headers[f"{LIMIT}output-tokens-limit"] == "100"


def test_what_is_larger_than_a_minutes_allowance_never_passes(upstream: Upstream) -> None:
    upstream.configure(input_tokens_per_minute=600, burst_seconds=1)
    assert ask(upstream, "x" * 4_000) == 429
    # While what is only larger than a second's passes, and the next one waits for it
    assert [ask(upstream, "x" * 1_000), ask(upstream, "small")] == [200, 429]


def test_every_answer_tells_what_is_left(upstream: Upstream) -> None:
    upstream.configure(
        token_bucket=True,
        requests_per_minute=2,
        input_tokens_per_minute=1_000_000,
        output_tokens_per_minute=100,
    )
    first, _, refused = (talk(upstream, f"number {n}") for n in range(3))
    assert [first.status, refused.status] == [200, 429]
    for answer, left in (first, "1"), (refused, "0"):
        told = {name[len(LIMIT) :]: value for name, value in answer.headers.items() if LIMIT in name}
        assert set(told) == {
            f"{limit}-{what}"
            for limit in ("requests", "input-tokens", "output-tokens", "tokens")
            for what in ("limit", "remaining", "reset")
        }
        assert (told["requests-limit"], told["requests-remaining"]) == ("2", left)
        assert told["input-tokens-remaining"] == "1000000"  # in thousands
        assert told["tokens-limit"] == told["output-tokens-limit"] == "100"  # the scarcer of the two
        reset = datetime.fromisoformat(told["requests-reset"])
        assert timedelta(seconds=25) < reset - datetime.now(UTC) < timedelta(seconds=61)


def test_other_limits_hold_at_once_and_what_was_taken_stays_taken(upstream: Upstream) -> None:
    upstream.configure(token_bucket=True, requests_per_minute=6)
    assert [ask(upstream, f"number {n}") for n in range(4)] == [200] * 4  # of six: two are left
    upstream.configure(requests_per_minute=3)
    assert [ask(upstream, f"number {n}") for n in range(3)] == [200, 200, 429]
    upstream.configure(requests_per_minute=60_000, window_seconds=60)
    wait_until(lambda: ask(upstream, "now") == 200, seconds=2)
    upstream.configure(token_bucket=False, requests_per_minute=1)
    assert [ask(upstream, "a"), ask(upstream, "b")] == [200, 429]
    upstream.configure(requests_per_minute=None)
    assert ask(upstream, "c") == 200
    assert upstream.summary()["requests"] == len(upstream.books())


def test_a_key_can_be_revoked_and_another_given(upstream: Upstream) -> None:
    def statuses() -> list[int]:
        return [talk(upstream, "Who am I?", key).status for key in ("sk-upstream-1", "sk-upstream-2")]

    assert statuses() == [200, 200]
    upstream.configure(keys=["sk-upstream-1"], requests_per_minute=1)
    assert statuses() == [200, 401]
    upstream.configure(keys=["sk-upstream-2"], requests_per_minute=2)
    assert statuses() == [401, 200]  # who has no key takes nothing of the limit


def test_a_fault_can_be_a_spend_limit_or_a_ramp(upstream: Upstream) -> None:
    used_up = "You have reached your specified API usage limits."
    upstream.configure(
        faults=[
            {"kind": "status", "status": 429, "code": "enforced_spend_limit_reached", "matching": "spent"},
            {"kind": "status", "status": 400, "message": used_up, "matching": "workspace"},
            {
                "kind": "status",
                "status": 429,
                "code": "ramp_limit_exceeded",
                "headers": {"retry-after": "7"},
                "matching": "ramp",
            },
        ]
    )
    spent, workspace, ramp = (talk(upstream, text) for text in ("spent", "workspace", "ramp"))
    assert (spent.status, "retry-after" in spent.headers) == (429, False)
    assert spent.body["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}
    assert (workspace.status, workspace.message) == (400, used_up)
    assert (ramp.status, ramp.headers["retry-after"]) == (429, "7")
    assert upstream.summary()["refused"] == 2
    upstream.configure(faults=[])
    assert ask(upstream, "spent") == 200


def test_answers_have_the_mean_length_that_was_asked_for(upstream: Upstream) -> None:
    upstream.configure(output_tokens=50, output_sigma=0.5)
    lengths = [talk(upstream, f"{n}", max_tokens=1_000).body["usage"]["output_tokens"] for n in range(300)]
    assert 45 <= sum(lengths) / 300 <= 55
    assert len(set(lengths)) > 30
    cut = talk(upstream, "Speak", max_tokens=5).body
    assert (cut["usage"]["output_tokens"], cut["stop_reason"]) == (5, "max_tokens")
    assert len(cut["content"][0]["text"]) == 20


def test_the_books_say_what_was_billed_for_which_request(upstream: Upstream) -> None:
    upstream.configure(cache_share=0.5, faults=[{"kind": "status", "status": 500, "matching": "fail"}])
    answer, failure = talk(upstream, "x" * 400), talk(upstream, "fail")
    billed, free = upstream.books()
    assert [billed["request_id"], free["request_id"]] == [
        answer.headers["request-id"],
        failure.headers["request-id"],
    ]
    usage = answer.body["usage"]
    assert (billed["input_tokens"], billed["output_tokens"]) == (
        usage["input_tokens"],
        usage["output_tokens"],
    )
    assert billed["cache_read_tokens"] == usage["cache_read_input_tokens"] > 50
    assert [free[name] for name in upstream_books.BILLED] == [0, 0, 0, 0]


def test_the_summary_tells_the_densest_window_of_what_was_admitted(upstream: Upstream) -> None:
    # Given windows of half a second, in which three requests may pass
    upstream.configure(requests_per_minute=3, window_seconds=0.5)

    # When more come, for longer than six windows
    began, count = time.monotonic(), 0
    while time.monotonic() - began < 3.2:
        ask(upstream, f"number {count:04}")
        count += 1

    # Then the densest window has what the limit says, and the sums are those of the books
    summary, books = upstream.summary(), upstream.books()
    admitted = [seen for seen in books if seen["admitted"]]
    assert summary["admitted"]["requests"] == len(admitted) > 15
    assert summary["densest"]["requests"] == 3
    assert summary["densest"]["input_tokens"] == 3 * admitted[0]["input_tokens"]
    assert 12 <= summary["densest"]["output_tokens"] / admitted[0]["output_tokens"] <= 15  # of five windows
    assert summary["refused"] == sum(seen["outcome"] == "429" for seen in books) > 0
    assert (summary["first_at"], summary["last_at"]) == (books[0]["at"], books[-1]["at"])
    assert summary["requests"] == count


def test_the_summary_is_cheap_at_any_size() -> None:
    books = Books()
    for number in range(50_000):
        seen = Seen(number, time.monotonic(), 0.0, "", "", "", input_tokens=10)
        books.open(seen)
        books.admit(seen, 10, 60, time.monotonic())
        seen.outcome = "answered"
        books.close(seen)
    began = time.process_time()
    for _ in range(100):
        summary = books.summary()
    assert time.process_time() - began < 0.1
    assert (summary["requests"], summary["input_tokens"]) == (50_000, 500_000)
    assert summary["outcomes"] == {"answered": 50_000}


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
