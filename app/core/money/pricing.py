"""The exact cost of a call, in integer pico-dollars (1e-12 $), from the dated price list.

A dollar per million tokens is a million pico-dollars per token, so every rate of the list is a whole number,
multiplied or not, and sums of costs are never rounded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, Decimal
from functools import cache, lru_cache
from math import prod
from typing import Any

from app.providers import model_names, registry
from app.providers.client import Usage
from config import price_list, settings

PICO = 10**12  # pico-dollars in a dollar
LARGEST = 1_000_000  # dollars of a cap at most: 64 bits hold nine times as many pico-dollars
UNSEEN_TOKENS = 1_000  # that a provider may add to a request: the frame of messages, tools and schemas


@dataclass(frozen=True, slots=True)
class Rates:
    """Pico-dollars for one token of each kind."""

    input: int
    cache_write_5m: int
    cache_write_1h: int
    cache_read: int
    output: int

    @property
    def dearest_input(self) -> int:
        rates: list[int] = [getattr(self, kind) for kind in _PROMPT]
        return max(rates)

    def times(self, factor: Decimal) -> "Rates":
        """The rates multiplied, rounded up only where overridden: multiples of the list's rates are whole."""
        return Rates(
            **{
                each.name: int((factor * getattr(self, each.name)).to_integral_value(ROUND_CEILING))
                for each in fields(self)
            }
        )

    def overridden(self, input: int | None, output: int | None) -> "Rates":
        """The rates with `input` for every token of a prompt, cached or not, and `output`, where given."""
        prompt = {name: input for name in _PROMPT if input is not None}
        return replace(self, **prompt, output=self.output if output is None else output)


_PROMPT = tuple(each.name for each in fields(Rates) if each.name != "output")


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one model from one day on.

    `id` is for the ledger: it names the line of the list, and the environment's overrides of it.
    """

    id: str
    short_prompt: Rates
    long_prompt: Rates
    long_over: int | None  # tokens of a prompt beyond which every token pays `long_prompt`
    web_search: int  # pico-dollars for one search
    us_only: Decimal
    fast: Decimal
    batch: Decimal

    def cost(
        self,
        usage: Usage,
        *,
        us_only: bool = False,
        fast: bool = False,
        batch: bool = False,
        prompt: int | None = None,
    ) -> int:
        """The cost of a call in pico-dollars.

        `us_only` is `inference_geo: "us"`, `fast` is `speed: "fast"`; `batch` is the `service_tier: "batch"`
        that the answer reports. For a `usage` that is the sum of many calls, `prompt` is the length of one of
        their prompts.
        """
        rates = self._rates(usage.prompt_tokens if prompt is None else prompt, us_only, fast, batch)
        return (
            usage.input_tokens * rates.input
            + usage.output_tokens * rates.output
            + usage.cache_read_tokens * rates.cache_read
            + usage.cache_write_5m_tokens * rates.cache_write_5m
            + usage.cache_write_1h_tokens * rates.cache_write_1h
            + usage.server_tool_uses.get("web_search_requests", 0) * self.web_search
        )

    def worst_case(
        self, request_bytes: int, max_tokens: int, *, us_only: bool = False, fast: bool = False
    ) -> int:
        """Pico-dollars that a call can cost at most, without searches: a byte is one token at most.

        Only the answer shows whether a call was a batch's, so the batch rate is never assumed.
        """
        prompt = request_bytes + UNSEEN_TOKENS
        rates = self._rates(prompt, us_only, fast, batch=False)
        return prompt * rates.dearest_input + max_tokens * rates.output

    def _rates(self, prompt: int, us_only: bool, fast: bool, batch: bool) -> Rates:
        is_long = self.long_over is not None and prompt > self.long_over
        rates = self.long_prompt if is_long else self.short_prompt
        factors = ((self.us_only, us_only), (self.fast, fast), (self.batch, batch))
        factor = prod((factor for factor, applies in factors if applies), start=Decimal(1))
        return rates if factor == 1 else rates.times(factor)


def price_at(model: str, when: date) -> Price | None:
    """The price of `model` on the day (UTC) of `when`; None when it has none, which does not mean free.

    BATCH_COST_PER_1K_INPUT_TOKENS and BATCH_COST_PER_1K_OUTPUT_TOKENS override the list; both together price
    a model that is not in it.
    """
    listed = _listed(model, when)
    environment = settings.current()
    input, output = environment.cost_per_1k_input_tokens, environment.cost_per_1k_output_tokens
    provider = registry.find(model)
    is_unpaid = provider is not None and not provider.is_paid
    if is_unpaid or (input is None and output is None):
        return listed
    return _overridden(listed, input, output)


def how_to_price(model: str) -> str:
    """What an operator can do about a model without a price."""
    return (
        f"model {model!r} has no price: add it to config/prices.toml, or set both"
        " BATCH_COST_PER_1K_INPUT_TOKENS and BATCH_COST_PER_1K_OUTPUT_TOKENS"
    )


def unknown_cost(model: str) -> str:
    """What a quote says of a model without a price: it may be newer than the price list."""
    similar = model_names.suggestions(model)
    hint = model_names.did_you_mean(similar) if similar else ""
    return f"{model} has no price in config/prices.toml: its cost is unknown{hint}"


def dollars(pico: int) -> str:
    """Pico-dollars as decimal dollars: two to twelve places, without trailing zeros beyond the second."""
    whole, rest = divmod(abs(pico), PICO)
    places = f"{rest:012}".rstrip("0").ljust(2, "0")
    return f"{'-' if pico < 0 else ''}{whole}.{places}"


def about(pico: int) -> str:
    """Pico-dollars for a glance: cents, or three digits that say something: $12.34, $0.0412, $0.00007."""
    amount = Decimal(pico) / PICO
    whole, _, places = f"{amount:,.{max(2, 2 - amount.adjusted()) if amount else 2}f}".partition(".")
    return f"${whole}.{places.rstrip('0').ljust(2, '0')}"


def _listed(model: str, when: date) -> Price | None:
    day = when.astimezone(UTC).date() if isinstance(when, datetime) else when
    dated = _dated(model)
    starts = [start for start in dated if start <= day]
    return dated[max(starts)] if starts else None


def _dated(model: str) -> Mapping[date, Price]:
    """The model's prices by their first day: its own, or those of its provider's models."""
    provider = registry.find(model)
    if provider is not None and provider.is_free_endpoint:
        return _list()[registry.UNBILLED]
    named = model if provider is None or not provider.is_paid else provider.served_name(model)
    of_all = {} if provider is None else _list().get(provider.name, {})
    return _list().get(named) or _list().get(price_list.undated(named)) or of_all


@lru_cache(maxsize=256)
def _overridden(listed: Price | None, input: Decimal | None, output: Decimal | None) -> Price | None:
    """`listed` with the given rates per 1,000 tokens; its factors and its price of searches stay."""
    if listed is None and (input is None or output is None):
        return None
    price = listed or _unlisted()
    rates = (None if rate is None else _whole(rate * PICO / 1_000) for rate in (input, output))
    given_input, given_output = rates
    overrides = [
        f"{name}={rate:f}" for name, rate in (("input", input), ("output", output)) if rate is not None
    ]
    return replace(
        price,
        id=" ".join([*([listed.id] if listed else []), "override", *overrides]),
        short_prompt=price.short_prompt.overridden(given_input, given_output),
        long_prompt=price.long_prompt.overridden(given_input, given_output),
    )


def pico(dollars: str) -> int:
    """Pico-dollars from decimal dollars; raises `ValueError` unless over 0, up to a million, and exact."""
    try:
        amount = Decimal(dollars) * PICO
    except ArithmeticError:
        raise ValueError(dollars) from None
    if not amount.is_finite() or not 0 < amount <= LARGEST * PICO or amount != int(amount):
        raise ValueError(dollars)
    return int(amount)


@cache
def _list() -> Mapping[str, dict[date, Price]]:
    """The price list, by model and first day."""
    content = price_list.content()
    prices: dict[str, dict[date, Price]] = {}
    for line in content["price"]:
        for model in line["models"]:
            prices.setdefault(model, {})[line["from"]] = _price(model, line, content)
    return prices


def _unlisted() -> Price:
    """What the list states for every model: a price without rates."""
    return _price(
        "", {"from": "", **dict.fromkeys((each.name for each in fields(Rates)), 0)}, price_list.content()
    )


def _price(model: str, line: Mapping[str, Any], common: Mapping[str, Any]) -> Price:
    long_prompt = line.get("long_prompt")
    return Price(
        id=f"{model}@{line['from']}",
        short_prompt=_rates_of(line),
        long_prompt=_rates_of(long_prompt or line),
        long_over=long_prompt["over"] if long_prompt else None,
        web_search=_whole(Decimal(common["web_search_requests"]) * PICO / 1_000),
        us_only=Decimal(common["us_only"]),
        fast=Decimal(line.get("fast", 1)),
        batch=Decimal(common["batch"]),
    )


def _rates_of(line: Mapping[str, Any]) -> Rates:
    return Rates(**{each.name: _whole(Decimal(line[each.name]) * PICO / 1_000_000) for each in fields(Rates)})


def _whole(amount: Decimal) -> int:
    if amount != int(amount):
        raise ValueError(f"config/prices.toml: {amount} pico-dollars is not a whole number")
    return int(amount)
