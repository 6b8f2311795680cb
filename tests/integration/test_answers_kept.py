"""Answers that are odd, cut, refused or paused, through real workers: kept, paid, and said."""

import csv
import datetime as dt
import io
import json
from typing import Any

import pytest

from app.core.money import pricing
from app.core.money.reconciliation import Check
from app.core.reading.records import snapshot
from app.ingest.values import to_json
from tests.support.front_door import JOBS
from tests.support.odd_answers import body, message
from tests.support.threaded_server import serving

MODEL = "claude-haiku-4-5"
SCORE = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 10}, "why": {"type": "string"}},
    "required": ["score"],
}
CUT = '{"score": 7, "why": "because'

pytestmark = pytest.mark.one_database


@pytest.fixture
def served(running, upstream):
    upstream.configure(keep_requests=True)
    with serving() as made:
        yield made


@pytest.fixture
def door(served):
    return served.door


def run(door, records: Any, **fields: Any) -> dict[str, Any]:
    """A job that has ended."""
    job = door.post_records(records, headers={"Prefer": "wait=60"}, model=MODEL, **fields).get_json()
    assert job["status"] == "completed", job
    return job


def rows(door, job) -> list[dict[str, Any]]:
    return [json.loads(line) for line in door.get(job["links"]["results"]).data.splitlines()]


def retry(served, job, **asked: Any) -> dict[str, Any]:
    """The job when its retry has ended."""
    response = served.door.post(f"{JOBS}/{job['id']}/retry", json=asked)
    assert response.status_code == 200, response.text
    with served.watch(job, timeout=60) as stream:
        *_, last = stream
    assert last.data["status"] == "completed"
    return last.data


def books_agree() -> bool:
    with snapshot() as session:
        return list(Check(session).differences()) == []


def prompts(*texts: str) -> list[dict[str, Any]]:
    return [{"custom_id": text, "prompt": text} for text in texts]


def test_an_answer_says_why_it_ended(door, upstream):
    # Given a provider that cuts one answer and refuses another, with and without a content
    upstream.configure(
        faults=[
            body(message("The three reasons are first the", "max_tokens"), matching="long"),
            body(message("", "refusal", stop_details={"type": "refusal"}), matching="bad"),
            body(message("", "refusal", content=None), matching="worse"),
        ]
    )

    # When a job asks for them
    job = run(door, prompts("long", "bad", "worse", "plain"), max_tokens=300)

    # Then each record has succeeded, was asked once and says how its answer ended, and the job counts them
    found = {row["custom_id"]: row for row in rows(door, job)}
    assert {name: (row["status"], row["stop_reason"], row["attempts"]) for name, row in found.items()} == {
        "long": ("succeeded", "max_tokens", 1),
        "bad": ("succeeded", "refusal", 1),
        "worse": ("succeeded", "refusal", 1),
        "plain": ("succeeded", "end_turn", 1),
    }
    assert found["long"]["response"]["content"][0]["text"] == "The three reasons are first the"
    assert job["stop_reasons"] == {"end_turn": 1, "max_tokens": 1, "refusal": 2}
    assert job["max_tokens"] == 300

    # And so does the table, where an answer without content is an empty cell
    table = door.get(f"{job['links']['results']}?format=csv").data.decode("utf-8-sig")
    header, *cells = csv.reader(io.StringIO(table))
    assert header[header.index("status") + 1] == "stop_reason"
    by_name = {row["custom_id"]: row for row in (dict(zip(header, line, strict=True)) for line in cells)}
    assert by_name["long"]["stop_reason"] == "max_tokens"
    assert (by_name["worse"]["answer"], by_name["worse"]["stop_reason"]) == ("", "refusal")
    assert books_agree()


def test_a_cut_answer_is_asked_again_with_more_room_and_replaced(served, door, upstream):
    # Given a job of which two answers were cut, one of them under a cap of its own
    upstream.configure(faults=[body(message("the first", "max_tokens"), matching="long")])
    records = [*prompts("long one", "plain"), {"prompt": "long two", "max_tokens": 5_000}]
    job = run(door, records, max_tokens=300)
    upstream.configure(faults=[])

    # When it is retried without more room, or without being named, nothing is asked
    for asked in ({"only": ["max_tokens"]}, {"max_tokens": 300, "only": ["max_tokens"]}):
        refused = door.post(f"{JOBS}/{job['id']}/retry", json=asked)
        assert refused.status_code == 409
        assert "larger" in refused.get_json()["error"]["message"]
    assert door.post(f"{JOBS}/{job['id']}/retry").status_code == 409

    # When it is named with more room
    again = retry(served, job, max_tokens=1_000, only=["max_tokens"])

    # Then only the one that had less is asked, with that room, and its new answer stands
    assert again["stop_reasons"] == {"end_turn": 2, "max_tokens": 1}
    assert [row["attempts"] for row in rows(door, job)] == [2, 1, 1]
    assert upstream.books()[-1]["request"]["max_tokens"] == 1_000
    assert rows(door, job)[0]["stop_reason"] == "end_turn"

    # And both answers are paid
    assert again["usage"]["output_tokens"] > 20 * 2
    assert books_agree()


@pytest.fixture
def judged(door, upstream) -> dict:
    """A job with a schema, of which one answer was cut, one refused and one only right at the second try."""
    upstream.configure(
        faults=[
            body(message(CUT, "max_tokens"), matching="long"),
            body(message("", "refusal", stop_details={"explanation": "no such advice"}), matching="bad"),
            body(message('{"score": 3}', "max_tokens"), matching="fits"),
            body(message('{"score": 11}'), matching="once", first=1),
            body(message('{"score": 4}')),
        ]
    )
    return run(door, prompts("long", "bad", "fits", "once"), schema=SCORE, max_tokens=300)


def test_cut_and_refused_answers_to_a_schema_end_at_once_and_one_that_fits_is_an_answer(judged, door):
    # Then they are paid and kept
    found = {row["custom_id"]: row for row in rows(door, judged)}
    assert {name: (row["status"], row["attempts"]) for name, row in found.items()} == {
        "long": ("failed", 1),
        "bad": ("failed", 1),
        "fits": ("succeeded", 1),
        "once": ("succeeded", 2),
    }
    assert found["long"]["error"]["type"] == "truncated"
    assert "max_tokens 300" in found["long"]["error"]["message"]
    assert found["long"]["response"]["content"][0]["text"] == CUT
    assert found["long"]["usage"]["output_tokens"] == 20
    assert found["long"]["cost"] not in (None, "0.00")
    assert found["bad"]["error"] == {
        "type": "refused",
        "message": "The model refused to answer: no such advice",
    }
    assert judged["stop_reasons"] == {"end_turn": 1, "max_tokens": 2, "refusal": 1}
    assert books_agree()


def test_a_cut_answer_to_a_schema_is_final_until_it_has_more_room(judged, served, door, upstream):
    # When it is retried as it was, there is nothing to ask
    assert door.post(f"{JOBS}/{judged['id']}/retry").status_code == 409
    unknown = door.post(f"{JOBS}/{judged['id']}/retry", json={"only": ["timeout", "truncated"]})
    assert unknown.status_code == 422
    assert "`timeout`: its records ended with `max_tokens`, `refusal`, `refused`, `truncated`" in unknown.text

    # When it is retried with more room
    upstream.configure(faults=[body(message('{"score": 5}'))])
    again = door.post(f"{JOBS}/{judged['id']}/retry", json={"max_tokens": 1_000}).get_json()
    assert again["left"] == {"refused": 1}
    with served.watch(judged, timeout=60) as stream:
        *_, last = stream

    # Then what was cut is answered, and what was refused is left
    assert last.data["counts"]["succeeded"] == 3
    assert last.data["stop_reasons"] == {"end_turn": 2, "max_tokens": 1, "refusal": 1}
    assert upstream.books()[-1]["request"]["max_tokens"] == 1_000

    # When the refused one is named
    assert retry(served, judged, only=["refused"])["counts"]["succeeded"] == 4
    assert books_agree()


def test_a_schema_is_sent_in_the_words_that_the_provider_knows(door, upstream):
    # When a job has a schema with bounds
    upstream.configure(faults=[body(message('{"score": 10}'))])
    job = run(door, prompts("a"), schema=SCORE)

    # Then the provider is asked with a copy without them
    [seen] = upstream.books()
    sent = seen["request"]["output_config"]["format"]["schema"]
    assert sent["properties"]["score"] == {"type": "integer", "description": "{minimum: 1, maximum: 10}"}
    assert sent["additionalProperties"] is False
    assert job["counts"]["succeeded"] == 1


@pytest.mark.parametrize("usage", [..., {"input_tokens": "30", "output_tokens": 20}])
def test_an_answer_without_usage_is_kept_and_held_at_its_worst_case(door, upstream, usage):
    # Given a provider that does not say what its answers took
    upstream.configure(faults=[body(message("fine", usage=usage))])

    # When a job asks it under a cap
    job = run(door, 3, max_cost="5")

    # Then every answer is kept after one call, its tokens and cost unknown
    for row in rows(door, job):
        assert (row["status"], row["usage"], row["cost"], row["attempts"]) == ("succeeded", None, None, 1)
        assert row["response"]["content"][0]["text"] == "fine"

    # And the job says so, and holds what they may have cost
    assert job["cost"] == "0.00"
    assert float(job["cost_unconfirmed"]) > 0
    assert job["warnings"] == [
        "3 answers came without usage: their tokens and cost are not known; at most"
        f" ${job['cost_unconfirmed']}, which is in cost_unconfirmed"
    ]
    assert books_agree()


SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}


def paused(**fault: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "Let me look. "}, SEARCH]
    return body(message("", "pause_turn", content=content), matching="search", **fault)


@pytest.mark.parametrize("cap", [{}, {"max_cost": "5"}])
def test_a_paused_answer_is_continued_to_one_answer(door, upstream, cap):
    # Given a provider that pauses once, and the three turns of a conversation
    end = [FOUND, {"type": "text", "text": "Here it is."}]
    upstream.configure(faults=[paused(first=1), body(message("", content=end), matching="search")])
    turns = [{"prompt": text, "conversation": "c"} for text in ("search", "and then?", "last")]

    # When they are asked
    job = run(door, turns, **cap)

    # Then each turn has one answer, the first one joined from two calls that are both in the ledger
    first, second, third = rows(door, job)
    assert [row["status"] for row in (first, second, third)] == ["succeeded"] * 3
    content = first["response"]["content"]
    assert [block["type"] for block in content] == ["text", "server_tool_use", FOUND["type"], "text"]
    assert (first["stop_reason"], first["attempts"]) == ("end_turn", 2)
    assert first["usage"]["output_tokens"] == first["response"]["usage"]["output_tokens"] == 40

    # And the provider was asked with the content so far, and later with the whole answer
    requests = [seen["request"]["messages"] for seen in upstream.books()]
    assert requests[1] == [*requests[0], {"role": "assistant", "content": content[:2]}]
    assert requests[2][1] == {"role": "assistant", "content": content}
    assert job["cost_unconfirmed"] == "0.00"
    assert books_agree()


def test_an_answer_that_is_paused_without_end_fails_with_what_it_has(door, upstream):
    upstream.configure(faults=[paused()])

    job = run(door, [{"prompt": "search", "conversation": "c"}, {"prompt": "next", "conversation": "c"}])

    first, second = rows(door, job)
    assert (first["status"], first["error"]["type"], first["attempts"]) == ("failed", "paused", 11)
    assert len(first["response"]["content"]) == 2 * 11
    assert job["usage"]["output_tokens"] > 20 * 11
    assert second["status"] == "succeeded"
    assert len(upstream.books()[-1]["request"]["messages"]) == 1
    assert books_agree()


def test_a_continuation_for_which_the_cap_has_no_room_is_not_asked(door, upstream):
    # Given a cap with room for one call and not for another beside what it took
    upstream.configure(faults=[paused()])
    asked = {"messages": [{"role": "user", "content": "search"}], "model": MODEL, "max_tokens": 100}
    price = pricing.price_at(MODEL, dt.datetime.now(dt.UTC))
    most = price.worst_case(len(to_json(asked)), 100)

    # When a record is paused
    job = run(door, prompts("search"), max_tokens=100, max_cost=pricing.dollars(most + 100_000_000))

    # Then it fails with its answer so far, and no money beyond the cap was risked
    [row] = rows(door, job)
    assert (row["status"], row["error"]["type"]) == ("failed", "paused")
    assert row["response"]["stop_reason"] == "pause_turn"
    assert float(job["cost"]) <= float(job["max_cost"])
    assert books_agree()


@pytest.mark.parametrize(
    ("stop", "content"),
    [
        ("max_tokens", [SEARCH]),
        ("tool_use", [{"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {}}]),
        ("refusal", [{"type": "text", "text": "I begin, and then"}]),
        ("end_turn", None),
        ("end_turn", [{"type": "text", "text": "\n"}]),
        ("max_tokens", [{"type": "thinking", "thinking": "Hm", "signature": "x"}]),
    ],
)
def test_a_turn_that_a_provider_would_refuse_to_read_again_is_left_out(door, upstream, stop, content):
    upstream.configure(faults=[body(message("", stop, content=content), matching="first")])

    job = run(door, [{"prompt": "first", "conversation": "c"}, {"prompt": "next", "conversation": "c"}])

    assert job["counts"]["succeeded"] == 2
    assert [turn["role"] for turn in upstream.books()[-1]["request"]["messages"]] == ["user"]


def test_a_gateway_that_gives_up_waiting_may_have_been_billed(door, upstream):
    # Given a gateway that cannot reach the provider at first, and that cuts long calls
    upstream.configure(
        faults=[
            {"kind": "status", "status": 521, "first": 1},
            {"kind": "status", "status": 524, "matching": "long"},
        ]
    )

    # When two records are asked
    job = run(door, prompts("short", "long"), retries=1)

    # Then the first was the provider's matter, and the cut ones used the record's tries and may be billed
    short, long = rows(door, job)
    assert short["status"] == "succeeded"
    assert (long["status"], long["error"]["type"]) == ("failed", "gateway_timeout")
    assert "max_tokens" in long["error"]["message"]
    assert sum("524" in seen["outcome"] for seen in upstream.books()) == 2
    assert float(job["cost_unconfirmed"]) > 0
    assert books_agree()


def test_an_error_within_a_200_is_that_error(door, upstream):
    # Given a gateway that answers 200 and says that it is busy, more often than a record has tries
    busy = json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})
    upstream.configure(faults=[body(busy, first=2)])

    # When a record is asked
    job = run(door, prompts("a"))

    # Then it waits for the gateway, loses no try and pays nothing for the errors
    [row] = rows(door, job)
    assert row["status"] == "succeeded"
    assert row["attempts"] == 3
    assert job["cost_unconfirmed"] == "0.00"


def test_characters_that_end_lines_for_some_readers_are_written_as_codes(door, upstream):
    # Given an answer with such characters
    text = "one\u2028two\u2029three\u0085four"
    upstream.configure(faults=[body(message(text))])
    job = run(door, prompts("a"))

    # When its lines are read by any reader of lines
    sent = door.get(job["links"]["results"]).data
    [line] = sent.decode().splitlines()

    # Then there is one, of the same JSON, and it is the same in the list of records
    assert json.loads(line)["response"]["content"][0]["text"] == text
    assert line.encode() in door.get(job["links"]["records"]).data
