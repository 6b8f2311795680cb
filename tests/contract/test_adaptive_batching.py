"""Calls to an inference server take the size at which it answers the most items a second, and follow it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from app.providers.client import Reply
from app.providers.inference.batching import Batching
from tests.support.provider_subjects import Inference

CALLERS = 120  # items that are asked about at any time

Cost = Callable[[int], float]


def best_at(size: int, *, start: float, each: float, beyond: float) -> Cost:
    """Seconds that a call of so many items takes; each one beyond `size` takes `beyond` more."""
    return lambda items: start + each * items + beyond * max(0, items - size)


def fast(size: int) -> Cost:
    return best_at(size, start=0.008, each=0.0002, beyond=0.004)


def steady(size: int) -> Cost:
    """Long enough for the time of a call to be the server's own on a busy machine too."""
    return best_at(size, start=0.03, each=0.0006, beyond=0.01)


def slow(size: int) -> Cost:
    return best_at(size, start=0.05, each=0.001, beyond=0.03)


def share_of_best(cost: Cost, items: int) -> float:
    """The rate of calls of so many items by the server's own figures, 1 at its best size."""
    return items / cost(items) / max(size / cost(size) for size in range(1, 129))


@pytest.fixture
def adaptive(inference: Inference) -> Inference:
    """A client that adapts, within the settings as shipped, and a server that makes one call at a time."""
    inference.batching = Batching(128, 50, True, True)
    inference.server.book.gate = asyncio.Semaphore(1)
    return inference


def ask_for(subject: Inference, seconds: float, *, callers: int = CALLERS) -> None:
    """Ask about so many items at any time, each of them anew when it is answered."""

    async def ask(number: int) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await subject.client.ask(subject.request(input=[number, 1]), deadline=30, attempt=1)

    async def ask_all() -> None:
        await asyncio.gather(*(ask(number) for number in range(callers)))

    subject.runner.run(ask_all())


def sizes_until(
    subject: Inference, cost: Cost, *, within: float, found: int = 20, near: float = 0.9
) -> list[int]:
    """The sizes of the calls until four in five of the last `found` are near the server's best rate."""
    subject.server.book.cost = cost
    subject.server.book.calls.clear()
    end = time.monotonic() + within
    while time.monotonic() < end:
        ask_for(subject, min(1.0, within / 8))
        sizes = subject.server.book.sizes
        good = [size for size in sizes[-found:] if share_of_best(cost, size) > near]
        if len(good) >= 0.8 * found:  # the others are probes, and the last of callers that have stopped
            return sizes
    raise AssertionError(f"no size near the best after {within:g} s: {subject.server.book.sizes[-40:]}")


@pytest.mark.long
def test_a_better_size_is_found_and_followed(adaptive: Inference) -> None:
    """How near it comes to the best is shown with a clock of its own, in `unit/test_tuning`."""
    sizes_until(adaptive, steady(40), within=30, near=0.75)
    sizes_until(adaptive, steady(8), within=30, near=0.75)


@pytest.mark.long
def test_two_processes_that_share_a_server_find_its_best_size_and_not_each_others_queue(
    adaptive: Inference,
) -> None:
    # Given a server that slows down only a little beyond its best size, so that behind calls of another
    # process, which take time whatever one's own size is, larger calls would seem to be better
    cost = best_at(24, start=0.012, each=0.0002, beyond=0.001)
    adaptive.server.book.cost = cost
    other = Inference(adaptive.runner, adaptive.server)
    other.batching = adaptive.batching

    # When two clients, which know nothing of each other, ask at the same time
    async def ask(number: int, end: float) -> None:
        client = (adaptive, other)[number % 2].client
        while time.monotonic() < end:
            await client.ask(adaptive.request(input=[number, 1]), deadline=30, attempt=1)

    async def ask_all() -> None:
        end = time.monotonic() + 8
        await asyncio.gather(*(ask(number, end) for number in range(2 * CALLERS)))
        await other.client.close()

    adaptive.runner.run(ask_all())

    # Then both arrive at it
    last = adaptive.server.book.sizes[-40:]
    assert sum(share_of_best(cost, size) > 0.85 for size in last) > 0.75 * len(last)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_best_size_of_24_is_found_within_a_minute_and_followed_to_8_and_back(adaptive: Inference) -> None:
    for best in (24, 8, 24):
        sizes_until(adaptive, slow(best), within=60, found=40)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_server_that_answers_calls_side_by_side_gets_its_best_size_in_many(adaptive: Inference) -> None:
    adaptive.server.book.gate = None
    sizes_until(adaptive, slow(24), within=60)


def test_without_adaptive_batching_size_and_wait_are_as_configured(adaptive: Inference) -> None:
    # Given a server that has been found to be best at small calls
    adaptive.server.book.cost = fast(4)
    ask_for(adaptive, 1.0)

    # When that is switched off, then calls are of the configured size again, and wait as long
    adaptive.batching = Batching(50, 300, True, False)
    adaptive.server.book.cost = None
    adaptive.server.book.calls.clear()
    started = time.monotonic()
    adaptive.ask_all(*([number] for number in range(60)))
    adaptive.ask_all(*([number, 1] for number in range(60)))
    assert adaptive.server.book.sizes == [50, 10, 50, 10]
    assert time.monotonic() - started >= 0.6


def test_an_item_that_comes_alone_soon_waits_for_no_other(adaptive: Inference) -> None:
    # Given a wait of a second that has been in vain some times
    adaptive.batching = Batching(128, 1_000, True, True)
    for _ in range(8):
        adaptive.ask()

    # Then it is not waited for any more
    started = time.monotonic()
    adaptive.ask()
    assert time.monotonic() - started < 0.7


def test_items_that_come_together_share_calls_however_few_they_are(adaptive: Inference) -> None:
    ask_for(adaptive, 0.5, callers=5)
    sizes = adaptive.server.book.sizes
    assert sizes[5:-5].count(5) > len(sizes[5:-5]) / 2


def test_a_server_that_takes_no_more_than_some_items_gets_no_more(adaptive: Inference) -> None:
    # Given a server that refuses calls of more than 20 items, and would be best at more
    adaptive.server.book.cost = best_at(128, start=0.03, each=0.0006, beyond=0)
    adaptive.server.book.limit = 20
    end = time.monotonic() + 30

    def is_near_the_bound() -> bool:
        return sum(size > 14 for size in adaptive.server.book.sizes[-20:]) > 10

    async def ask(number: int) -> None:
        """Ask again what was refused, as its record does."""
        while time.monotonic() < end and not is_near_the_bound():
            await asyncio.gather(
                adaptive.client.ask(adaptive.request(input=[number, 1]), deadline=30, attempt=1),
                return_exceptions=True,
            )

    async def ask_all() -> None:
        await asyncio.gather(*(ask(number) for number in range(CALLERS)))

    adaptive.runner.run(ask_all())

    # Then calls come near to the bound, and few were refused
    assert is_near_the_bound()
    assert sum(size > 20 for size in adaptive.server.book.sizes) < 10


def test_items_that_come_when_the_wait_is_all_but_over_are_asked_once(adaptive: Inference) -> None:
    """A worker's loop keeps time in milliseconds: what is due sooner is no timer to it."""
    adaptive.batching = replace(Batching(128, 1, True, True), max_wait_time_ms=0.4)
    replies = adaptive.ask_all(*([number, 1] for number in range(10)))
    assert [reply for reply in replies if not isinstance(reply, Reply)] == []
    assert sum(adaptive.server.book.sizes) == 10  # each asked once, in how ever many calls


def test_a_call_whose_items_have_all_gone_before_it_left_is_none(adaptive: Inference) -> None:
    # Given an item that waits for others, when it is cancelled, then no call is made for it
    adaptive.batching = Batching(128, 200, True, True)

    async def cancel() -> None:
        asking = asyncio.create_task(adaptive.client.ask(adaptive.request(), deadline=30, attempt=1))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        await adaptive.client.ask(adaptive.request(input=[3.0, 4.0]), deadline=30, attempt=1)

    adaptive.runner.run(cancel())
    assert adaptive.server.book.sizes == [1]
