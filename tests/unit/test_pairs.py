"""Two calls that leave together tell whether the server makes one after the other."""

import random

import pytest

from app.providers.inference.pairs import Pairs


def pairs_of(apart: list[float], *, first: float) -> Pairs:
    pairs = Pairs()
    for each in apart:
        pairs.ended(first, each)
    return pairs


def test_nothing_is_known_of_a_server_before_two_pairs() -> None:
    pairs = pairs_of([0.1], first=0.1)
    assert (pairs.known, pairs.in_turn) == (False, False)


def test_calls_that_end_as_far_apart_as_one_takes_were_made_in_turn() -> None:
    assert pairs_of([0.1, 0.1], first=0.1).in_turn


def test_they_were_so_when_both_waited_behind_two_calls_of_others() -> None:
    assert pairs_of([0.1, 0.1, 0.1], first=0.3).in_turn


@pytest.mark.parametrize("seed", range(20))
def test_calls_made_side_by_side_end_together_but_for_noise(seed: int) -> None:
    noise = random.Random(seed)
    pairs = pairs_of([noise.gauss(0, 0.02) for _ in range(5)], first=0.1)
    assert (pairs.known, pairs.in_turn) == (True, False)


def test_a_server_that_changes_is_seen_within_a_few_pairs() -> None:
    pairs = pairs_of([0.1] * 5, first=0.1)
    for _ in range(3):
        pairs.ended(0.1, 0.001)
    assert not pairs.in_turn
