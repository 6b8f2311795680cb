"""What follows a call that brought no answer."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import errors
from app.core.worker.retries import AskAgain, Ended, GiveBack, decide

FINAL = [errors.RequestRejected]
OWN = [errors.ServerFault, errors.TimedOut, errors.ConnectionCut, errors.BadAnswer]
PROVIDERS = [errors.RateLimited, errors.Overloaded, errors.Unreachable]


class Highest(random.Random):
    """Chance at its worst: the longest wait that may be drawn."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.mark.parametrize("kind", FINAL)
def test_a_rejected_request_is_not_asked_again(kind: type[errors.ProviderError]) -> None:
    assert decide(kind("no"), tries_left=20, refusals=0) == Ended()


@pytest.mark.parametrize("kind", OWN)
def test_a_failure_that_may_pass_uses_a_try(kind: type[errors.ProviderError]) -> None:
    assert decide(kind("no"), 1, 0, chance=Highest()) == AskAgain(0.5, uses_try=True)
    assert decide(kind("no"), 0, 0) == Ended()


def test_the_waits_between_tries_double_up_to_five_seconds() -> None:
    waits = [decide(errors.TimedOut("slow"), 9, 0, tries_used=used, chance=Highest()) for used in range(6)]
    assert waits == [AskAgain(seconds, uses_try=True) for seconds in (0.5, 1, 2, 4, 5, 5)]


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_refusal_of_the_provider_uses_no_try(kind: type[errors.ProviderError]) -> None:
    assert decide(kind("no"), tries_left=0, refusals=0, chance=Highest()) == AskAgain(1, uses_try=False)


def test_the_providers_own_time_is_kept() -> None:
    assert decide(errors.RateLimited("slow", retry_after=5), 0, 9) == AskAgain(5, uses_try=False)
    assert decide(errors.RateLimited("slow", retry_after=5.5), 0, 0) == GiveBack(5.5)
    assert decide(errors.Overloaded("busy", retry_after=120), 0, 0) == GiveBack(120)


def test_a_pause_of_nothing_is_no_reason_to_storm() -> None:
    assert decide(errors.RateLimited("slow", retry_after=0), 0, 2, chance=Highest()) == AskAgain(
        4, uses_try=False
    )


def test_refusals_in_a_row_wait_longer_up_to_a_minute() -> None:
    waits = [
        decide(errors.Overloaded("busy"), 0, refusals, chance=Highest()) for refusals in (0, 1, 2, 3, 6, 99)
    ]
    assert waits == [
        AskAgain(1, uses_try=False),
        AskAgain(2, uses_try=False),
        AskAgain(4, uses_try=False),
        GiveBack(8),
        GiveBack(60),
        GiveBack(60),
    ]


def test_a_refused_account_gives_the_record_back() -> None:
    assert decide(errors.AccountRefused("no credit"), 0, 0) == GiveBack(60)
    assert decide(errors.AccountRefused("spent", retry_after=3_600), 5, 5) == GiveBack(3_600)


@given(
    kind=st.sampled_from(FINAL + OWN + PROVIDERS + [errors.AccountRefused]),
    tries_left=st.integers(0, 20),
    refusals=st.integers(0, 10_000),
    tries_used=st.integers(0, 10_000),
    retry_after=st.none() | st.floats(0, 1e6),
)
def test_nothing_is_held_for_longer_than_five_seconds(
    kind: type[errors.ProviderError],
    tries_left: int,
    refusals: int,
    tries_used: int,
    retry_after: float | None,
) -> None:
    decision = decide(kind("no", retry_after=retry_after), tries_left, refusals, tries_used=tries_used)
    if isinstance(decision, AskAgain):
        assert 0 <= decision.seconds <= 5
    elif isinstance(decision, GiveBack):
        assert decision.seconds > 5 or kind is errors.AccountRefused
