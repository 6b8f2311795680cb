"""What is read of one job besides its records: searches, causes of failures, requests, calls, comparisons."""

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update

from app.core.reading import jobs, records
from app.core.reading.details import (
    asked_request,
    comparison,
    error_groups,
    record_attempts,
    record_search,
    record_texts,
)
from app.core.reading.details.asked_request import Turn
from app.core.reading.details.phrase import Phrase
from app.core.reading.jobs import JobView
from app.errors import NotFound
from models import JobCounts
from models.session import in_transaction, reading
from tasks import advance
from tests.support.front_door import JOBS, Door, Worker, number_of

pytestmark = pytest.mark.one_database

Job = dict[str, Any]


@pytest.fixture
def door(environment) -> Door:
    return Door()


@pytest.fixture
def worker(environment) -> Worker:
    return Worker()


def seen(door: Door, job: Job) -> JobView:
    with reading() as session:
        return jobs.find(session, door.tenant_id, job["id"])


def answer(text: str, *, ascii: bool = True, **more: Any) -> bytes:
    content = {"id": "msg_1", "type": "message", "content": [{"type": "text", "text": text}], **more}
    return json.dumps(content, ensure_ascii=ascii).encode()


def search(door: Door, job: Job, text: str, **more: Any) -> Iterator[record_search.Hit]:
    """All that is found, page by page."""
    phrase, view, after = Phrase.of(text), seen(door, job), None
    assert phrase is not None
    while True:
        with reading() as session:
            found = record_search.find(session, view, phrase, after, 2, **more)
        yield from found.hits
        if found.after is None:
            return
        assert after is None or found.after > after
        after = found.after


def test_records_are_found_by_what_they_asked_and_what_came_back(door, worker):
    # Given prompts and answers that JSON has written in different ways, a name and an error
    rows: list[Any] = [{"prompt": f"Say {number}"} for number in range(60)]
    rows[3] = {"prompt": "Frag Herrn MÜLLER"}
    rows[40] = {"custom_id": "müller-40", "prompt": "x"}
    job = door.submit(rows)
    worker.end(job, [7], answer=answer("der Mu\u0308ller mahlt"))
    worker.end(job, [8], answer=answer("bei Müller & Söhne", ascii=False))
    worker.end(job, [9], error=("invalid_request", "no \0 Müller"))
    worker.end(job, [10, 11], answer=answer("miller"))

    # When one looks for the word, two at a time, and as slowly as can be
    found = list(search(door, job, "müller", seconds=0))

    # Then each is there with its place, in their order
    assert [(hit.record.idx, hit.place) for hit in found] == [
        (3, "prompt"),
        (7, "answer"),
        (8, "answer"),
        (9, "error"),
        (40, "id"),
    ]
    assert (found[2].before, found[2].match, found[2].behind) == ("bei ", "Müller", " & Söhne")

    # And a status narrows it, while words of the protocol are nobody's
    assert [hit.record.idx for hit in search(door, job, "müller", words=frozenset({"failed"}))] == [9]
    assert [hit.record.idx for hit in search(door, job, "müller", words=frozenset({"pending"}))] == [3, 40]
    assert list(search(door, job, "content")) == []
    assert [hit.record.idx for hit in search(door, job, "SAY 5")] == [5, *range(50, 60)]


def test_cells_are_found_and_names_of_columns_are_not(door):
    job = door.upload("s.csv", "city,note\nKöln,fine\nBonn,city\n".encode(), template="{{city}}?").get_json()

    assert [hit.record.idx for hit in search(door, job, "KÖLN")] == [0]
    assert [hit.record.idx for hit in search(door, job, "city")] == [1]


def groups(door: Door, job: Job) -> list[error_groups.Group]:
    with reading() as session:
        return error_groups.of(session, seen(door, job))


def test_failures_are_grouped_by_their_cause_and_a_retry_takes_its_group_away(door, worker):
    # Given failures of two types, of which one comes in two kinds of messages
    job = door.submit(12)
    worker.end(job, [1, 2], error=("server_error", "request req_01 failed after 12 s"))
    worker.end(job, [4], error=("server_error", "request req_9f failed after 300 s"))
    worker.end(job, [5], error=("server_error", "the disk is full"))
    worker.end(job, [6], answer=answer("cut", stop_reason="max_tokens"), error=("truncated", "cut at 5"))
    worker.end(job, [0, 3, *range(7, 12)])
    advance.run(number_of(job))

    # Then each group has its count, its kinds of messages and examples
    server, cut = groups(door, job)
    assert (server.word, server.count, server.is_cut) == ("server_error", 4, False)
    assert [(kind.message, kind.count, kind.examples) for kind in server.kinds] == [
        ("request req_01 failed after 12 s", 3, [1, 2, 4]),
        ("the disk is full", 1, [5]),
    ]
    assert (cut.word, cut.count, cut.is_cut) == ("truncated", 1, True)
    assert [(group.word, group.count) for group in error_groups.stopped(seen(door, job))] == [
        ("max_tokens", 1)
    ]

    # And its records are found by pages
    with reading() as session:
        page = error_groups.page(session, seen(door, job), "server_error", None, 3)
        rest = error_groups.page(session, seen(door, job), "server_error", page.after, 3)
    assert [record.idx for record in page.records] == [1, 2, 4]
    assert ([record.idx for record in rest.records], rest.after) == ([5], None)

    # When the group is asked again and one of it fails once more
    assert door.post(f"{JOBS}/{job['id']}/retry", json={"only": ["server_error"]}).status_code == 200
    advance.run(number_of(job))
    worker.end(job, [1, 2, 4])
    worker.end(job, [5], error=("server_error", "the disk is still full"))
    advance.run(number_of(job))

    # Then its count is that of now, and a word that nothing ended with any more is refused
    assert {group.word: group.count for group in groups(door, job)} == {"server_error": 1, "truncated": 1}
    assert door.post(f"{JOBS}/{job['id']}/retry", json={"only": ["server_error"]}).status_code == 200
    advance.run(number_of(job))
    worker.end(job, [5])
    advance.run(number_of(job))
    refused = door.post(f"{JOBS}/{job['id']}/retry", json={"only": ["server_error"]})
    assert refused.status_code == 422
    assert "`truncated`" in refused.get_json()["error"]["message"]


def test_what_failed_in_an_earlier_release_has_a_group_without_a_count(door, worker):
    # Given failures that nobody has counted by their type
    job = door.submit(3)
    worker.end(job, [0, 2], error=("server_error", "no"))
    worker.end(job, [1])
    advance.run(number_of(job))
    uncounted = update(JobCounts).where(JobCounts.job_id == number_of(job)).values(error_types=None)
    in_transaction(lambda session: session.execute(uncounted) and None)

    # Then their group is found, and can be asked again
    [group] = groups(door, job)
    assert (group.word, group.count, group.kinds[0].examples) == ("server_error", None, [0, 2])
    assert door.post(f"{JOBS}/{job['id']}/retry", json={"only": ["rate_limited"]}).status_code == 422
    assert door.post(f"{JOBS}/{job['id']}/retry", json={"only": ["server_error"]}).status_code == 200
    advance.run(number_of(job))
    worker.end(job, [0, 2], error=("server_error", "no"))
    assert [(group.word, group.count) for group in groups(door, job)] == [("server_error", 2)]


def asked(door: Door, job: Job, idx: int) -> asked_request.Asked:
    with reading() as session:
        return asked_request.of(session, seen(door, job), idx)


def test_a_request_is_shown_as_it_is_sent(door, worker):
    # Given a table with a template and a system prompt
    table = "name,text\nAda,good\nBob,bad\n"
    fields = {"template": "{{name}} says {{text}}", "system": "Be brief.", "max_tokens": "64"}
    job = door.upload("s.csv", table.encode(), **fields).get_json()

    # Then a record's request has the job's parts and its own
    shown = asked(door, job, 1)
    assert [(turn.role, turn.text) for turn in shown.turns] == [
        ("system", "Be brief."),
        ("user", "Bob says bad"),
    ]
    assert shown.options["max_tokens"] == 64
    with pytest.raises(NotFound, match="from 0 to 1"):
        asked(door, job, 2)

    # And a later turn of a conversation has what was said before it
    turns = [{"conversation": "c", "prompt": f"turn {number}"} for number in range(2)]
    talk = door.submit(turns)
    assert [turn.text for turn in asked(door, talk, 1).turns] == ["turn 1"]
    worker.end(talk, [0], answer=answer("aha", role="assistant"))
    assert asked(door, talk, 1).turns == [
        Turn("user", "turn 0"),
        Turn("assistant", "aha"),
        Turn("user", "turn 1"),
    ]


def test_each_call_of_a_record_is_shown_with_its_wait_and_its_cost(door, worker):
    # Given a record that failed and is asked again
    job = door.submit(2)
    worker.end(job, [1], error=("server_error", "no"))
    worker.end(job, [0])
    advance.run(number_of(job))
    door.post(f"{JOBS}/{job['id']}/retry")
    advance.run(number_of(job))
    worker.claim(job, [1])

    # When its calls are read
    with reading() as session:
        history = record_attempts.of(session, seen(door, job), 1)

    # Then the first has all that is known of it, and the second is in flight
    first, second = history.calls
    assert (first.number, first.outcome, first.request_id, first.cost) == (1, "answered", "req_1", 0)
    assert (first.seconds, first.usage["input_tokens"]) == (pytest.approx(0.25, abs=0.01), 10)
    assert first.waited is not None
    assert (second.number, second.outcome, second.ended_at) == (2, "in flight", None)
    assert second.waited >= 0
    assert history.next_at is None


def compared(door: Door, left: Job, right: Job, *, changed: bool) -> list[tuple[int, int | None]]:
    """The indices of all pairs, page by page, as slowly as can be."""
    ours, theirs, after = seen(door, left), seen(door, right), None
    found: list[tuple[int, int | None]] = []
    while True:
        with reading() as session:
            page = comparison.find(session, ours, theirs, after, 2, changed=changed, seconds=0)
        found += [(pair.left.idx, pair.right and pair.right.idx) for pair in page.pairs]
        if page.after is None:
            return found
        after = page.after


def comparison_page(door: Door, left: Job, right: Job) -> list[tuple[int, int | None]]:
    """The indices of the first pairs that are not known to differ."""
    ours, theirs = seen(door, left), seen(door, right)
    with reading() as session:
        page = comparison.find(session, ours, theirs, None, 2, changed=False)
    return [(pair.left.idx, pair.right and pair.right.idx) for pair in page.pairs]


def test_two_jobs_of_the_same_rows_are_compared_row_by_row(door, worker):
    # Given two jobs of the same rows, of which two are answered differently and one fails in the second
    rows = [{"prompt": f"Say {number}"} for number in range(6)]
    left, right = door.submit(rows, name="a"), door.submit(rows, name="b", system="Be brief.")
    worker.end(left, range(6), answer=answer("Good."))
    worker.end(right, [0, 2], answer=answer("Good.", id="msg_2"))
    worker.end(right, [1, 3], answer=answer("Bad."))
    worker.end(right, [4], error=("server_error", "no"))

    # Then these are the changed ones, and the others are not: one has not ended
    assert compared(door, left, right, changed=True) == [(1, 1), (3, 3), (4, 4)]
    assert compared(door, left, right, changed=False) == [(0, 0), (2, 2), (5, 5)]
    with reading() as session:
        offered = comparison.candidates(session, door.tenant_id, seen(door, left))
    assert [str(view.uid) for view in offered] == [right["id"]]


def test_looking_rows_up_takes_no_memory_for_what_they_hold(door):
    rows = [{"prompt": f"{number} {'x' * 10_000}"} for number in range(1_000)]
    left, right = door.submit(rows), door.submit(rows[::-1])

    tracemalloc.start()
    found = comparison_page(door, left, right)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found[0] == (0, 999)
    assert peak < 8_000_000


def test_rows_in_another_order_are_found_by_their_id_or_content(door, worker):
    named = [{"custom_id": f"r{number}", "prompt": f"Say {number}"} for number in range(4)]
    left, right = door.submit(named), door.submit([named[2], named[0], {"custom_id": "new", "prompt": "x"}])
    worker.end(left, range(4), answer=answer("Good."))
    worker.end(right, range(3), answer=answer("Bad."))

    assert compared(door, left, right, changed=True) == [(0, 1), (2, 0)]
    assert compared(door, left, right, changed=False) == [(1, None), (3, None)]

    # And of equal rows without ids each is compared with the first
    left = door.submit([{"prompt": text} for text in ("a", "b", "a")])
    right = door.submit([{"prompt": text} for text in ("b", "a")])
    assert compared(door, left, right, changed=False) == [(0, 1), (1, 0), (2, 1)]


def test_questions_are_shown_in_words(door):
    job = door.submit([{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi you"}]}]}])
    with reading() as session:
        [record] = records.by_index(session, seen(door, job), None, 1, inputs=True).records
    assert record_texts.question(seen(door, job), record, 100) == "Hi you"
    assert record_texts.question(seen(door, job), record, 2) == "Hi"
