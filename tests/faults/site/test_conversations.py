"""Conversations after a crash go on at their next turn, with what was said before it."""

import json
from collections import Counter

import pytest

from tests.faults.support.breakable_stack import held_by, lease_of, process
from tests.support.servers import wait_until

pytestmark = pytest.mark.timeout(3600)

TALKS, TURNS = 40, 4


def test_no_turn_is_asked_twice_unless_its_worker_died_in_the_call(fresh, figures):
    # Given conversations under way
    fresh.upstream.configure(latency_ms=400, latency_sigma=0.4, keep_requests=True)
    talks = [f"talk {number % TALKS}" for number in range(TALKS * TURNS)]
    job = fresh.ask(TALKS * TURNS, conversations=talks)
    job.wait_until_ended(TALKS)
    workers = {lease_of(process(node).pid): process(node) for node in fresh.slices}

    # When a worker is killed in some of their calls
    wait_until(lambda: any(held_by(lease, job) for lease in workers), what="a worker is asking")
    lease = max(workers, key=lambda lease: len(held_by(lease, job)))
    workers[lease].kill()
    workers[lease].wait()
    held = held_by(lease, job)
    books = fresh.finish(job)
    figures.note("a worker killed during conversations", books)

    # Then those alone are asked again
    asked = Counter(seen["text"] for seen in fresh.upstream.books())
    again = {number_of(text) for text, count in asked.items() if count > 1}
    assert again <= set(held)
    # And every turn was asked with the turns before it, as the rows have them
    said = {idx: text_of(json.loads(output.body)["content"]) for idx, output in job.outputs().items()}
    for seen in fresh.upstream.books():
        assert turns(seen["request"]) == history(seen["text"], said)


def number_of(text: str) -> int:
    return int(text.rpartition(" ")[2])


def turns(request: dict) -> list[str]:
    """What a request says of the turns before it, question by answer."""
    return [text_of(message["content"]) for message in request["messages"][:-1]]


def text_of(content) -> str:
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


def history(text: str, said: dict[int, str]) -> list[str]:
    """What was said before a turn: questions, and the answers that the rows have for them."""
    question, _, number = text.rpartition(" ")
    before = range(int(number) % TALKS, int(number), TALKS)
    return [line for turn in before for line in (f"{question} {turn}", said[turn])]
