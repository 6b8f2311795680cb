"""How long a call waits for more items follows their arrivals, and how many leave follows the server."""

from app.providers.inference.parallel import START, Parallel
from app.providers.inference.patience import LEAST, Patience

LONGEST = 0.05  # seconds


def test_as_long_as_nothing_is_known_the_wait_is_the_one_configured() -> None:
    assert Patience().silence(LONGEST) == LONGEST


def test_items_that_come_together_are_not_waited_for_longer_than_they_take() -> None:
    patience = Patience()
    for _ in range(20):
        patience.came(0.0001)
    assert patience.silence(LONGEST) == LEAST


def test_items_that_trickle_in_are_waited_for() -> None:
    patience = Patience()
    for _ in range(20):
        patience.came(0.004)
        patience.came(0.012)
    assert 0.012 < patience.silence(LONGEST) <= LONGEST


def test_no_wait_is_longer_than_the_one_configured() -> None:
    patience = Patience()
    for _ in range(20):
        patience.came(0.04)
    assert patience.silence(LONGEST) <= LONGEST


def test_an_item_that_always_comes_alone_soon_waits_for_none() -> None:
    patience = Patience()
    for _ in range(8):
        patience.in_vain(LONGEST)
    assert patience.silence(LONGEST) == LEAST

    # And when items come more densely again, the wait grows again
    for _ in range(20):
        patience.came(0.004)
        patience.came(0.012)
    assert patience.silence(LONGEST) > 0.01


def answer(parallel: Parallel, seconds: float, *, rounds: int) -> None:
    """Rounds of as many calls as may leave together; alone each takes a tenth of a second."""
    at = 0.0
    for _ in range(rounds):
        left_at, at = at, at + seconds
        limit = parallel.limit
        for number in range(1, limit + 1):
            parallel.answered(number, seconds, 0.1, left_at, at)


def test_calls_that_do_not_slow_each_other_down_become_more() -> None:
    parallel = Parallel()
    answer(parallel, 0.1, rounds=8)
    assert parallel.limit > START + 5


def test_calls_that_wait_for_each_other_become_one() -> None:
    parallel = Parallel()
    answer(parallel, 0.4, rounds=8)
    assert parallel.limit == 1


def test_a_slow_call_that_was_alone_says_nothing_of_others() -> None:
    parallel = Parallel()
    parallel.answered(1, 0.4, 0.1, 0.0, 0.4)
    assert parallel.limit == START
