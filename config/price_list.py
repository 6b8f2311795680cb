"""The price list as it is written: models, their prices, and what else is known of them."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

_SNAPSHOT = re.compile(r"-\d{4}-?\d\d-?\d\d$")  # the date at the end of a model's full name


@cache
def content() -> Mapping[str, Any]:
    """config/prices.toml; its numbers with a point are exact decimals."""
    text = resources.files("config").joinpath("prices.toml").read_text(encoding="utf-8")
    return tomllib.loads(text, parse_float=Decimal)


@cache
def models() -> Sequence[str]:
    """Every model that has a price, in the order of the list: newer ones first within a family."""
    return tuple(dict.fromkeys(name for line in content()["price"] for name in line["models"]))


@cache
def context(model: str) -> int | None:
    """Tokens of prompt and answer together that the model can hold; None: the list does not say."""
    found: int | None = next((size for size in _said_of(model, "context")), None)
    return found


@cache
def least_cacheable(model: str) -> int | None:
    """Tokens of the shortest beginning of a prompt that is kept for the next ones; None: none ever is."""
    names = (model, undated(model))
    found: int | None = next((size for name in names for size in _said_of(name, "least_cacheable")), None)
    return found


def undated(model: str) -> str:
    """The name without the date at the end of a model's full name."""
    return _SNAPSHOT.sub("", model)


@cache
def is_retired(model: str) -> bool:
    """Whether its provider no longer answers for the model."""
    return any(_said_of(model, "retired"))


def _said_of(model: str, name: str) -> Sequence[Any]:
    return [line[name] for line in content()["price"] if model in line["models"] and name in line]
