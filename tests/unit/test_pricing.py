"""What a call costs, from the dated list of prices."""

from collections.abc import Callable, Iterator
from dataclasses import astuple
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.money import pricing
from app.core.money.pricing import Price, dollars, price_at
from app.providers.client import Usage
from config import settings

TODAY = date(2026, 11, 22)
MILLION = 1_000_000


def price(model: str, when: date = TODAY) -> Price:
    found = price_at(model, when)
    assert found is not None, f"{model} has no price on {when}"
    return found


def dollars_for(
    model: str, usage: Usage, *, when: date = TODAY, us_only: bool = False, fast: bool = False
) -> str:
    return dollars(price(model, when).cost(usage, us_only=us_only, fast=fast))


@pytest.mark.parametrize(
    ("model", "input", "write_5m", "write_1h", "read", "output"),
    [
        ("claude-fable-5-2", "8.00", "10.00", "16.00", "0.80", "40.00"),
        ("claude-fable-5-1", "10.00", "12.50", "20.00", "0.25", "50.00"),
        ("claude-mythos-5-1", "10.00", "12.50", "20.00", "0.25", "50.00"),
        ("claude-fable-5", "10.00", "12.50", "20.00", "1.00", "50.00"),
        ("claude-mythos-5", "10.00", "12.50", "20.00", "1.00", "50.00"),
        ("claude-opus-5-5", "4.00", "5.00", "8.00", "0.20", "20.00"),
        ("claude-opus-5", "5.00", "6.25", "10.00", "0.50", "25.00"),
        ("claude-opus-4-8", "5.00", "6.25", "10.00", "0.50", "25.00"),
        ("claude-opus-4-7", "5.00", "6.25", "10.00", "0.50", "25.00"),
        ("claude-opus-4-6", "5.00", "6.25", "10.00", "0.50", "25.00"),
        ("claude-opus-4-5", "5.00", "6.25", "10.00", "0.50", "25.00"),
        ("claude-opus-4-1", "15.00", "18.75", "30.00", "1.50", "75.00"),
        ("claude-opus-4", "15.00", "18.75", "30.00", "1.50", "75.00"),
        ("claude-sonnet-5-5", "2.00", "2.50", "4.00", "0.10", "10.00"),
        ("claude-sonnet-5", "2.00", "2.50", "4.00", "0.20", "10.00"),
        ("claude-sonnet-4-6", "3.00", "3.75", "6.00", "0.30", "15.00"),
        ("claude-sonnet-4-5", "3.00", "3.75", "6.00", "0.30", "15.00"),
        ("claude-haiku-4-5", "1.00", "1.25", "2.00", "0.10", "5.00"),
        ("claude-3-5-haiku", "0.80", "1.00", "1.60", "0.08", "4.00"),
    ],
)
def test_each_kind_of_token_has_its_own_price(
    model: str, input: str, write_5m: str, write_1h: str, read: str, output: str
) -> None:
    assert dollars_for(model, Usage(input_tokens=MILLION)) == input
    assert dollars_for(model, Usage(cache_write_5m_tokens=MILLION)) == write_5m
    assert dollars_for(model, Usage(cache_write_1h_tokens=MILLION)) == write_1h
    assert dollars_for(model, Usage(cache_read_tokens=MILLION)) == read
    assert dollars_for(model, Usage(output_tokens=MILLION)) == output


def test_a_call_costs_the_sum_of_its_tokens() -> None:
    usage = Usage(
        input_tokens=1_000,
        output_tokens=200,
        cache_read_tokens=30,
        cache_write_5m_tokens=4,
        cache_write_1h_tokens=5,
    )
    assert price("claude-haiku-4-5").cost(usage) == (
        1_000 * 1_000_000 + 200 * 5_000_000 + 30 * 100_000 + 4 * 1_250_000 + 5 * 2_000_000
    )


@pytest.mark.parametrize(
    ("named", "listed"),
    [
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-opus-4-20250514", "claude-opus-4"),
        ("claude-opus-4-1-20250805", "claude-opus-4-1"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
    ],
)
def test_a_dated_name_has_the_price_of_its_model(named: str, listed: str) -> None:
    assert price(named) == price(listed)


@pytest.mark.parametrize(
    "model", ["claude-opus-9", "claude-haiku-4-5-1", "claude-haiku-4-5-2025", "gpt-6", "claude", ""]
)
def test_a_model_that_is_not_listed_has_no_price(model: str) -> None:
    assert price_at(model, TODAY) is None


def test_a_model_has_no_price_before_its_first() -> None:
    assert price_at("claude-haiku-5-5", date(2026, 10, 6)) is None
    assert price_at("claude-haiku-5-5", date(2026, 10, 7)) is not None


def test_a_price_holds_until_the_next_one_of_its_model() -> None:
    read = Usage(cache_read_tokens=MILLION)
    assert dollars_for("claude-sonnet-5-5", read, when=date(2026, 10, 6)) == "0.20"
    assert dollars_for("claude-sonnet-5-5", read, when=date(2026, 10, 7)) == "0.10"


def test_the_day_is_told_by_utc() -> None:
    # Given a moment that is already the 7th in Berlin and still the 6th in UTC
    berlin = timezone(timedelta(hours=2))
    moment = datetime(2026, 10, 7, 1, 30, tzinfo=berlin)

    # Then the price of the 6th holds, and the other one two hours later
    assert price_at("claude-sonnet-5-5", moment) == price_at("claude-sonnet-5-5", date(2026, 10, 6))
    assert price_at("claude-sonnet-5-5", datetime(2026, 10, 7, tzinfo=UTC)) == price("claude-sonnet-5-5")


def test_a_price_is_named_by_its_model_and_first_day() -> None:
    assert price("claude-haiku-4-5-20251001").id == "claude-haiku-4-5@2025-10-01"
    assert price("claude-sonnet-5-5").id == "claude-sonnet-5-5@2026-10-07"


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(input_tokens=100_000), "0.01"),
        (Usage(input_tokens=100_001), "0.0500005"),
        (Usage(input_tokens=50_000, cache_read_tokens=50_000), "0.0055"),
        (Usage(input_tokens=50_000, cache_read_tokens=50_001), "0.02750005"),
        (Usage(input_tokens=1, cache_write_5m_tokens=60_000, cache_write_1h_tokens=40_000), "0.0775005"),
        (Usage(input_tokens=1_000, output_tokens=200_000), "0.1001"),
    ],
)
def test_a_long_prompt_pays_the_dearer_rate_for_all_its_tokens(usage: Usage, cost: str) -> None:
    assert dollars_for("claude-haiku-5-5", usage) == cost


def test_a_search_costs_a_cent() -> None:
    assert dollars_for("claude-haiku-4-5", Usage(server_tool_uses={"web_search_requests": 3})) == "0.03"
    assert dollars_for("claude-haiku-4-5", Usage(server_tool_uses={"web_fetch_requests": 3})) == "0.00"


def test_tokens_that_stay_in_the_us_cost_a_tenth_more() -> None:
    usage = Usage(input_tokens=7, cache_read_tokens=3, server_tool_uses={"web_search_requests": 1})
    there = price("claude-opus-5-5").cost(usage, us_only=True)
    assert there == (7 * 4_000_000 + 3 * 200_000) * 11 // 10 + 10**10


def test_fast_mode_costs_twice_where_a_model_has_it() -> None:
    usage = Usage(input_tokens=MILLION, output_tokens=MILLION)
    assert dollars_for("claude-opus-5-5", usage, fast=True) == "48.00"
    assert dollars_for("claude-opus-4-8", usage, fast=True) == "60.00"
    assert dollars_for("claude-opus-5-5", usage, fast=True, us_only=True) == "52.80"


def test_simulated_answers_are_free_and_say_so() -> None:
    assert dollars_for("simulated", Usage(input_tokens=MILLION, output_tokens=MILLION)) == "0.00"
    assert price("simulated").id.startswith("simulated@")


def test_the_worst_case_takes_every_byte_for_a_token_of_the_dearest_kind() -> None:
    assert price("claude-haiku-4-5").worst_case(500, 100) == 1_500 * 2_000_000 + 100 * 5_000_000
    assert price("claude-haiku-5-5").worst_case(99_000, 10) == 100_000 * 200_000 + 10 * 500_000
    assert price("claude-haiku-5-5").worst_case(99_001, 10) == 100_001 * 1_000_000 + 10 * 2_500_000


kinds = st.integers(min_value=0, max_value=200_000)


@given(
    model=st.sampled_from(sorted(pricing._list())),
    plain=kinds,
    read=kinds,
    short=kinds,
    hour=kinds,
    output=kinds,
    us_only=st.booleans(),
    fast=st.booleans(),
)
def test_no_call_costs_more_than_its_worst_case(
    model: str, plain: int, read: int, short: int, hour: int, output: int, us_only: bool, fast: bool
) -> None:
    # Given a call whose tokens are as many as its bytes and the provider's thousand, of whichever kinds
    usage = Usage(plain, output, read, short, hour)
    request_bytes = max(0, plain + read + short + hour - 1_000)

    # Then it costs no more than was reserved for it
    cost = price(model).cost(usage, us_only=us_only, fast=fast)
    assert cost <= price(model).worst_case(request_bytes, output, us_only=us_only, fast=fast)


def test_a_batch_pays_half_of_every_token_and_all_of_a_search() -> None:
    usage = Usage(1_000, 200, 30, 4, 6, {"web_search_requests": 1})
    whole = price("claude-haiku-4-5").cost(usage) - 10**10
    assert price("claude-haiku-4-5").cost(usage, batch=True) == whole // 2 + 10**10
    assert (
        dollars(price("claude-opus-5-5").cost(Usage(MILLION), us_only=True, fast=True, batch=True)) == "4.40"
    )


def test_every_multiple_of_a_listed_rate_is_a_whole_number() -> None:
    for listed in (each for dated in pricing._list().values() for each in dated.values()):
        for factor in (
            listed.us_only,
            listed.fast,
            listed.batch,
            listed.us_only * listed.fast * listed.batch,
        ):
            for rate in (*astuple(listed.short_prompt), *astuple(listed.long_prompt)):
                assert rate * factor == int(rate * factor), listed.id


Override = Callable[..., None]


@pytest.fixture
def override(monkeypatch: pytest.MonkeyPatch) -> Iterator[Override]:
    """Sets the two variables that go before the list."""

    def set_to(input: str = "", output: str = "") -> None:
        monkeypatch.setenv("BATCH_COST_PER_1K_INPUT_TOKENS", input)
        monkeypatch.setenv("BATCH_COST_PER_1K_OUTPUT_TOKENS", output)
        settings.current.cache_clear()

    yield set_to
    settings.current.cache_clear()


def test_an_override_of_the_input_holds_for_all_of_a_prompt(override: Override) -> None:
    override(input="0.003")
    for kind in ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"):
        assert dollars_for("claude-haiku-4-5", Usage(**{kind: MILLION})) == "3.00", kind
        assert dollars_for("claude-haiku-5-5", Usage(**{kind: MILLION})) == "3.00", kind
    assert dollars_for("claude-haiku-4-5", Usage(output_tokens=MILLION)) == "5.00"  # as it is listed


def test_an_override_of_the_output_leaves_the_input_as_it_is(override: Override) -> None:
    override(output="0.01")
    assert dollars_for("claude-haiku-4-5", Usage(MILLION, MILLION)) == "11.00"


def test_an_override_can_be_told_in_the_ledger(override: Override) -> None:
    override(input="0.003", output="0.015")
    assert price("claude-haiku-4-5").id == "claude-haiku-4-5@2025-10-01 override input=0.003 output=0.015"
    assert price("claude-of-tomorrow").id == "override input=0.003 output=0.015"
    assert price("x" * 200).id == "override input=0.003 output=0.015"  # no longer than the ledger's column


def test_a_model_without_a_price_gets_one_when_both_variables_are_set(override: Override) -> None:
    override(input="0.003")
    assert price_at("claude-of-tomorrow", TODAY) is None
    override(output="0.015")
    assert price_at("claude-of-tomorrow", TODAY) is None
    override(input="0.003", output="0.015")
    usage = Usage(MILLION, MILLION, server_tool_uses={"web_search_requests": 1})
    assert dollars_for("claude-of-tomorrow", usage) == "18.01"
    assert dollars_for("claude-of-tomorrow", usage, us_only=True) == "19.81"


def test_no_override_makes_an_invented_answer_cost_anything(override: Override) -> None:
    override(input="0.003", output="0.015")
    assert dollars_for("simulated", Usage(MILLION, MILLION)) == "0.00"
    assert "override" not in price("simulated").id


def test_a_free_override_is_a_price(override: Override) -> None:
    override(input="0", output="0")
    assert dollars_for("claude-of-tomorrow", Usage(MILLION, MILLION)) == "0.00"


def test_what_prices_a_model_is_said_with_its_name() -> None:
    told = pricing.how_to_price("claude-of-tomorrow")
    for part in ("claude-of-tomorrow", "config/prices.toml", "BATCH_COST_PER_1K_INPUT_TOKENS"):
        assert part in told


@given(
    rates=st.tuples(*[st.integers(min_value=0, max_value=10**6)] * 2),
    usage=st.tuples(*[st.integers(min_value=0, max_value=10**6)] * 5),
    us_only=st.booleans(),
    batch=st.booleans(),
)
def test_an_overridden_call_costs_at_most_its_worst_case_and_never_less_than_its_rates(
    rates: tuple[int, int], usage: tuple[int, int, int, int, int], us_only: bool, batch: bool
) -> None:
    # Given rates of whole pico-dollars for a token, down to one, which no tenth divides
    input, output = (Decimal(rate) * 1_000 / pricing.PICO for rate in rates)
    price = pricing._overridden(None, input, output)
    assert price is not None

    # Then factors round up to the next pico-dollar for a token, and the worst case holds
    spent = Usage(*usage)
    prompt = sum(usage) - spent.output_tokens
    cost = price.cost(spent, us_only=us_only, batch=batch)
    factor = (Decimal("1.1") if us_only else 1) * (Decimal("0.5") if batch else 1)
    exact = factor * (prompt * rates[0] + spent.output_tokens * rates[1])
    assert exact <= cost <= exact + prompt + spent.output_tokens
    assert cost <= price.worst_case(prompt, spent.output_tokens, us_only=us_only)


@pytest.mark.parametrize(
    ("pico", "text"),
    [
        (0, "0.00"),
        (1, "0.000000000001"),
        (10**10, "0.01"),
        (10**12, "1.00"),
        (1_234_500_000_000, "1.2345"),
        (-1_500_000_000_000, "-1.50"),
        (10**30, "1000000000000000000.00"),
    ],
)
def test_dollars_are_written_without_rounding(pico: int, text: str) -> None:
    assert dollars(pico) == text


@given(st.integers(min_value=-(10**20), max_value=10**20))
def test_no_digit_of_an_amount_is_lost(pico: int) -> None:
    whole, _, places = dollars(pico).lstrip("-").partition(".")
    assert 2 <= len(places) <= 12
    assert int(whole + places.ljust(12, "0")) == abs(pico)


def test_a_model_of_an_inference_server_is_priced_at_nothing(override: Override) -> None:
    override(input="1", output="1")
    assert price("inference:anything").id == "inference@2020-01-01"
    assert price("inference:anything").worst_case(1_000, 1_000) == 0
