"""What a call costs, to the last digit: integers of pico-dollars (1e-12 $), from the dated list of prices.

A dollar for a million tokens is a million pico-dollars for a token, so that every rate of the list is whole,
multiplied or not, and a sum of costs never rounds.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

from app.providers.client import Usage

PICO = 10**12  # pico-dollars in a dollar
UNSEEN_TOKENS = 1_000  # what a provider may add to a request: the frame of messages, tools and schemas

_SNAPSHOT = re.compile(r"-\d{8}$")  # the date at the end of a model's full name


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
        return max(self.input, self.cache_write_5m, self.cache_write_1h, self.cache_read)

    def times(self, factor: Decimal) -> "Rates":
        return Rates(**{each.name: _whole(factor * getattr(self, each.name)) for each in fields(self)})


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs from one day on. `id` names the line of the list, for the ledger."""

    id: str
    short_prompt: Rates
    long_prompt: Rates
    long_over: int | None  # tokens of a prompt beyond which every token pays `long_prompt`
    web_search: int  # pico-dollars for one search
    us_only: Decimal
    fast: Decimal

    def cost(
        self, usage: Usage, *, us_only: bool = False, fast: bool = False, prompt: int | None = None
    ) -> int:
        """Pico-dollars for a call; `us_only` is `inference_geo: "us"`, `fast` is `speed: "fast"`.

        For a `usage` that is the sum of many calls, `prompt` is the length of one of their prompts.
        """
        if prompt is None:
            cached = usage.cache_read_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
            prompt = usage.input_tokens + cached
        rates = self._rates(prompt, us_only, fast)
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
        """Pico-dollars that a call can cost at most, searches apart: a byte makes a token at most."""
        prompt = request_bytes + UNSEEN_TOKENS
        rates = self._rates(prompt, us_only, fast)
        return prompt * rates.dearest_input + max_tokens * rates.output

    def _rates(self, prompt: int, us_only: bool, fast: bool) -> Rates:
        is_long = self.long_over is not None and prompt > self.long_over
        rates = self.long_prompt if is_long else self.short_prompt
        factor = (self.us_only if us_only else Decimal(1)) * (self.fast if fast else Decimal(1))
        return rates if factor == 1 else rates.times(factor)


def price_at(model: str, when: date) -> Price | None:
    """The price of `model` on the day (UTC) of `when`; None when the list has none, which is not free."""
    day = when.astimezone(UTC).date() if isinstance(when, datetime) else when
    dated = _list().get(model) or _list().get(_SNAPSHOT.sub("", model), {})
    starts = [start for start in dated if start <= day]
    return dated[max(starts)] if starts else None


def dollars(pico: int) -> str:
    """Pico-dollars as decimal dollars: at least two places, at most twelve, none that says nothing."""
    whole, rest = divmod(abs(pico), PICO)
    places = f"{rest:012}".rstrip("0").ljust(2, "0")
    return f"{'-' if pico < 0 else ''}{whole}.{places}"


@cache
def _list() -> Mapping[str, dict[date, Price]]:
    """The list of prices, by model and first day."""
    text = resources.files("config").joinpath("prices.toml").read_text()
    told = tomllib.loads(text, parse_float=Decimal)
    prices: dict[str, dict[date, Price]] = {}
    for line in told["price"]:
        for model in line["models"]:
            prices.setdefault(model, {})[line["from"]] = _price(model, line, told)
    return prices


def _price(model: str, line: Mapping[str, Any], told: Mapping[str, Any]) -> Price:
    long_prompt = line.get("long_prompt")
    return Price(
        id=f"{model}@{line['from']}",
        short_prompt=_rates_of(line),
        long_prompt=_rates_of(long_prompt or line),
        long_over=long_prompt["over"] if long_prompt else None,
        web_search=_whole(Decimal(told["web_search_requests"]) * PICO / 1_000),
        us_only=Decimal(told["us_only"]),
        fast=Decimal(line.get("fast", 1)),
    )


def _rates_of(line: Mapping[str, Any]) -> Rates:
    return Rates(**{each.name: _whole(Decimal(line[each.name]) * PICO / 1_000_000) for each in fields(Rates)})


def _whole(amount: Decimal) -> int:
    if amount != int(amount):
        raise ValueError(f"config/prices.toml: {amount} pico-dollars are no whole number")
    return int(amount)
