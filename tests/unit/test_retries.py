"""What follows a call that brought no answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import errors
from app.core.worker.retries import AskAgain, Decision, Ended, GiveBack, Hold, decide

FINAL = [errors.RequestRejected]
OWN = [
    errors.ServerFault,
    errors.TimedOut,
    errors.ConnectionCut,
    errors.BadAnswer,
    errors.SchemaMismatch,
]
PROVIDERS = [errors.RateLimited, errors.Overloaded, errors.Unreachable]
DRAWS = 400  # of a jittered wait: that none lies in its upper fifth has the odds of 1 to 10^38


def decided(error: errors.ProviderError, *, tries_left: int = 9, **counted: int) -> Decision:
    return decide(error, **({"tries_used": 0, "refusals": 0} | counted), tries_left=tries_left)


def longest(error: errors.ProviderError, **counted: int) -> float:
    """The longest of many waits; each lies between nothing and it."""
    waits = [decided(error, **counted).then.seconds for _ in range(DRAWS)]
    assert min(waits) >= 0
    return max(waits)


@pytest.mark.parametrize("kind", FINAL)
def test_a_rejected_request_is_not_asked_again(kind: type[errors.ProviderError]) -> None:
    assert decided(kind("no"), tries_left=20) == Decision(Ended(), uses_try=True)


@pytest.mark.parametrize("kind", OWN)
def test_a_failure_that_may_pass_uses_a_try(kind: type[errors.ProviderError]) -> None:
    again = decided(kind("no"), tries_left=1)
    assert (type(again.then), again.uses_try, again.hold) == (AskAgain, True, None)
    assert decided(kind("no"), tries_left=0) == Decision(Ended(), uses_try=True)


@pytest.mark.parametrize(("tries_used", "bound"), [(0, 0.5), (1, 1), (2, 2), (3, 4), (4, 5), (50, 5)])
def test_the_waits_between_tries_double_up_to_five_seconds(tries_used: int, bound: float) -> None:
    assert 0.8 * bound < longest(errors.TimedOut("slow"), tries_used=tries_used) <= bound


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_refusal_of_the_provider_uses_no_try_and_holds_its_group(kind: type[errors.ProviderError]) -> None:
    decision = decided(kind("no"), tries_left=0)
    assert (type(decision.then), decision.uses_try) == (AskAgain, False)
    assert decision.hold == Hold(f"provider: {kind.type}", 0.0)


@pytest.mark.parametrize("kind", OWN)
def test_in_an_outage_it_is_the_providers_matter(kind: type[errors.ProviderError]) -> None:
    decision = decide(kind("no"), tries_left=0, tries_used=3, refusals=0, outage=True)
    assert (type(decision.then), decision.uses_try) == (AskAgain, False)
    assert decision.hold == Hold(f"provider: outage ({kind.type})", 0.0)


def test_the_providers_own_time_is_kept() -> None:
    assert decided(errors.RateLimited("slow", retry_after=5), refusals=9).then == AskAgain(5)
    assert decided(errors.RateLimited("slow", retry_after=5.5)).then == GiveBack(5.5)
    busy = decided(errors.Overloaded("busy", retry_after=120))
    assert busy == Decision(GiveBack(120), hold=Hold("provider: overloaded", 120))


def test_a_pause_of_nothing_is_no_reason_to_storm() -> None:
    assert 3.2 < longest(errors.RateLimited("slow", retry_after=0), refusals=2) <= 4


@pytest.mark.parametrize(("refusals", "bound"), [(0, 1), (1, 2), (2, 4), (3, 8), (6, 60), (99, 60)])
def test_refusals_in_a_row_wait_longer_up_to_a_minute(refusals: int, bound: float) -> None:
    assert 0.8 * bound < longest(errors.Overloaded("busy"), refusals=refusals) <= bound


def test_a_rate_that_rose_too_fast_is_halved() -> None:
    halved = decided(errors.RateLimited("slower", type="ramp_limit_exceeded"))
    assert (halved.slow_down, halved.hold) == (True, None)
    held = decided(errors.RateLimited("slower", type="ramp_limit_exceeded", retry_after=3))
    assert (held.slow_down, held.hold) == (True, Hold("provider: ramp_limit_exceeded", 3))


def test_a_refused_account_gives_the_record_back_and_is_tried_by_probes() -> None:
    refused = decided(errors.AccountRefused("no credit"))
    assert refused == Decision(GiveBack(5), hold=Hold("account: account_refused", 60, every=60))
    spent = decided(errors.AccountRefused("spent", retry_after=3_600))
    assert spent == Decision(GiveBack(5), hold=Hold("account: account_refused", 3_600, every=3_600))


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
    error = kind("no", retry_after=retry_after)
    then = decide(error, tries_left=tries_left, refusals=refusals, tries_used=tries_used).then
    if isinstance(then, AskAgain):
        assert 0 <= then.seconds <= 5
    elif isinstance(then, GiveBack):
        assert then.seconds > 5 or kind is errors.AccountRefused
