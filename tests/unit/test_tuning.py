"""The size of calls follows the server's measured rate: servers and a clock of pure arithmetic."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from app.providers.inference.tuning import REFUSED_KEPT, SLOW_KEPT, START, Tuner

MOST = 128  # items
MINUTE = 60.0  # seconds

Cost = Callable[[int], float]  # seconds that a call of so many items takes


def best_at(size: int, *, start: float = 0.05, each: float = 0.001, beyond: float = 0.03) -> Cost:
    """A server that slows down beyond this size, by `beyond` seconds for each item more."""
    return lambda items: start + each * items + beyond * max(0, items - size)


def curve(size: int) -> Cost:
    """Its rate is a parabola, with its top at this size."""
    return lambda items: items / (300 * max(0.05, 1 - (items / size - 1) ** 2))


def padded(items: int) -> float:
    """Pads each call to a power of two, so that its rate falls with each first item beyond one."""
    return 0.01 + 0.0005 * 2 ** (items - 1).bit_length()


def flat(items: int) -> float:
    return 0.004 * items


def rate(cost: Cost, items: int) -> float:
    return items / cost(items)


def share_of_best(cost: Cost, items: int) -> float:
    return rate(cost, items) / max(rate(cost, size) for size in range(1, MOST + 1))


@dataclass
class Traffic:
    """Calls one after the other. `noise` is the deviation of the logarithm of a call's time."""

    cost: Cost
    noise: float = 0.05
    seed: int = 0
    waiting: int = 10**6  # items that a call can be filled with
    most: int = MOST
    at: float = 0.0
    tuner: Tuner = field(default_factory=Tuner)
    sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def run(self, seconds: float) -> int:
        """The size in use after so many seconds more."""
        end = self.at + seconds
        while self.at < end:
            self._call()
        return self.tuner.size

    def _call(self) -> None:
        plan = self.tuner.plan(self.most, self.at)
        items = min(plan.size, self.waiting)
        if items < plan.size and plan.alone:
            self.tuner.unfilled(plan.size, self.at)
            return
        seconds = self.cost(items) * self._random.lognormvariate(0, self.noise)
        self.at += seconds
        self.sizes.append(items)
        self.tuner.answered(items)
        if items == plan.size:
            self.tuner.measured(items, seconds, self.at, holds_others=False)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "cost",
    [
        *(best_at(size) for size in (1, 3, 8, 17, 24, 37, 100)),
        best_at(24, beyond=0.005),
        best_at(24, start=0.25, each=0.005, beyond=0.1),
        best_at(MOST),
        *(curve(size) for size in (8, 24, 60)),
        padded,
    ],
)
def test_the_best_size_is_found_within_a_minute(cost: Cost, seed: int) -> None:
    assert share_of_best(cost, Traffic(cost, seed=seed).run(MINUTE)) > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_noise_of_a_seventh_hides_the_best_size_from_nobody(seed: int) -> None:
    found = [Traffic(best_at(size), noise=0.15, seed=seed).run(MINUTE) for size in (8, 24, 60)]
    assert min(share_of_best(best_at(size), n) for size, n in zip((8, 24, 60), found, strict=True)) > 0.85


@pytest.mark.parametrize("seed", range(3))
def test_a_best_size_that_moves_is_followed_down_and_up(seed: int) -> None:
    traffic = Traffic(best_at(24), seed=seed)
    traffic.run(MINUTE)
    for best in (8, 24, 60):
        traffic.cost = best_at(best)
        assert share_of_best(traffic.cost, traffic.run(MINUTE)) > 0.9


def test_what_is_found_stays_in_use() -> None:
    traffic = Traffic(best_at(24))
    traffic.run(MINUTE)
    traffic.sizes.clear()
    began, size = traffic.at, traffic.run(MINUTE)
    near = [items for items in traffic.sizes if share_of_best(traffic.cost, items) > 0.9]
    assert len(near) > 0.9 * len(traffic.sizes)
    assert sum(traffic.sizes) / (traffic.at - began) > 0.85 * rate(traffic.cost, size)


def test_a_server_that_gains_nothing_from_batches_gets_small_ones() -> None:
    assert Traffic(flat, noise=0.0).run(MINUTE) == 1


def test_no_call_is_larger_than_what_is_configured() -> None:
    traffic = Traffic(best_at(MOST), most=40)
    assert share_of_best(traffic.cost, traffic.run(MINUTE)) > 0.9 * share_of_best(traffic.cost, 40)
    traffic.most = 10
    traffic.sizes.clear()
    traffic.run(MINUTE)
    assert max(traffic.sizes) == 10


def test_calls_that_nobody_fills_teach_nothing() -> None:
    # When no more than ten items ever wait together
    traffic = Traffic(best_at(24), waiting=10)
    assert traffic.run(MINUTE) == START

    # Then the search begins as soon as there are enough
    traffic.waiting = 1_000
    assert share_of_best(traffic.cost, traffic.run(MINUTE)) > 0.9


def test_a_size_that_cannot_be_filled_is_left_out_of_the_search() -> None:
    traffic = Traffic(best_at(MOST), waiting=40)
    size = traffic.run(MINUTE)
    assert size <= 40
    assert rate(traffic.cost, size) > 0.9 * rate(traffic.cost, 40)


def test_a_refused_size_is_a_bound_for_an_hour() -> None:
    # Given a call of 32 items that was answered, when one of 64 is refused
    tuner = Tuner()
    tuner.answered(32)
    tuner.refused(64, at=0.0)
    assert not any(tuner.plan(MOST, at).size >= 64 for at in (1.0, REFUSED_KEPT - 1))

    # Then a search does not ask for more than 63
    traffic = Traffic(best_at(MOST), tuner=tuner)
    traffic.run(MINUTE)
    assert max(traffic.sizes) < 64

    # And after the hour it does
    traffic.at = REFUSED_KEPT + 1
    traffic.run(MINUTE)
    assert max(traffic.sizes) >= 64


def test_a_size_that_was_answered_before_must_be_refused_twice_in_a_row() -> None:
    tuner = Tuner()
    tuner.answered(START)
    tuner.refused(START, at=0.0)  # perhaps for the sake of one of its items
    assert tuner.plan(MOST, 1.0).size == START
    tuner.refused(START, at=1.0)
    assert tuner.plan(MOST, 2.0).size == START // 2


def test_a_call_that_was_given_up_is_not_asked_for_again_soon() -> None:
    tuner = Tuner()
    tuner.measured(START, 0.1, at=0.1)
    tuner.answered(START)

    # When nobody waits any more for a larger one, which has taken long
    tuner.given_up(64, 5.0, at=5.1)
    assert tuner._barred == (64, 5.1 + SLOW_KEPT)

    # Then one that was cancelled before it could be answered says nothing
    tuner.given_up(32, 0.05, at=6.0)
    assert tuner._barred == (64, 5.1 + SLOW_KEPT)


def test_a_first_call_without_an_answer_halves_the_size() -> None:
    tuner = Tuner()
    tuner.given_up(START, 5.0, at=5.0)
    assert tuner.plan(MOST, 5.0).size == START // 2


def test_one_odd_time_changes_nothing_and_two_begin_a_new_search() -> None:
    traffic = Traffic(best_at(24), noise=0.0)
    size = traffic.run(MINUTE)
    assert not traffic.tuner.searching
    traffic.tuner.measured(size, 10 * traffic.cost(size), traffic.at)
    assert not traffic.tuner.searching
    traffic.tuner.measured(size, traffic.cost(size), traffic.at)
    assert not traffic.tuner.searching
    for _ in range(2):
        traffic.tuner.measured(size, 10 * traffic.cost(size), traffic.at)
    assert traffic.tuner.searching
