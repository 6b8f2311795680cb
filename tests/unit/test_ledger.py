"""What the ledger says of a call, from what is known when it ended."""

import datetime as dt

from app.core.money import ledger
from app.providers.client import Usage

# Reading the cache became cheaper with the second of these days.
BEFORE = dt.datetime(2026, 10, 6, 23, 59, 59, tzinfo=dt.UTC)
AFTER = dt.datetime(2026, 10, 7, tzinfo=dt.UTC)
MODEL = "claude-sonnet-5-5"
READ = Usage(cache_read_tokens=1_000)


def answered(usage: Usage = READ, sent_at: dt.datetime = AFTER, **params: str) -> ledger.Call:
    return ledger.answered(MODEL, params, usage, "req_1", 5.0, sent_at=sent_at)


def test_a_call_pays_the_price_of_the_moment_when_it_left() -> None:
    assert (answered(sent_at=BEFORE).cost, answered(sent_at=AFTER).cost) == (200_000_000, 100_000_000)
    assert answered(sent_at=BEFORE).price == "claude-sonnet-5-5@2025-01-01"
    assert answered(sent_at=AFTER).price == "claude-sonnet-5-5@2026-10-07"


def test_so_does_the_worst_case_of_a_call_without_an_answer() -> None:
    def price(left: dt.datetime) -> str | None:
        return ledger.unconfirmed(MODEL, {}, 100, 10, "timeout", sent_at=left).price

    assert price(BEFORE) == "claude-sonnet-5-5@2025-01-01"
    assert price(AFTER) == "claude-sonnet-5-5@2026-10-07"


def test_what_an_answer_says_of_its_tier_decides_about_the_discount() -> None:
    def cost(tier: str | None) -> int | None:
        return answered(Usage(1_000, service_tier=tier)).cost

    assert (cost(None), cost("standard"), cost("batch")) == (2 * 10**9, 2 * 10**9, 10**9)


def test_a_request_that_asks_for_a_tier_is_paid_in_full_unless_the_answer_agrees() -> None:
    assert answered(Usage(1_000), service_tier="batch").cost == 2 * 10**9
