"""The models that can be named, what each costs now, and whether it can be asked on this machine."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from app.core.money import pricing
from app.core.money.pricing import Price, Rates
from app.errors import BadInput
from app.providers import registry
from app.providers.model_names import AS_A_WHOLE
from config import price_list
from config.settings import Settings


@dataclass(frozen=True, slots=True)
class Model:
    """A model by its name; that of an inference server's model is `inference:` and its own name."""

    name: str
    provider: str
    is_default: bool  # asked by jobs that name no model
    context: int | None  # tokens of prompt and answer together; None: not known
    price: Price | None  # today's; None: not known, which does not mean free
    why_not: str | None  # it cannot be asked here; None: it can


def models(settings: Settings) -> Iterator[Model]:
    """Every model of the price list, the default model, the configured model of an inference server, and
    those that an endpoint names in full.
    """
    others = (settings.default_model, settings.inference_model and f"inference:{settings.inference_model}")
    served = (name for endpoint in settings.endpoints for name in endpoint.models if "*" not in name)
    for name in dict.fromkeys((*price_list.models(), *filter(None, others), *served)):
        provider = registry.find(name)
        if provider is not None and (name not in AS_A_WHOLE or provider is registry.SIMULATED):
            yield _model(name, provider, settings)


def askable(settings: Settings) -> Iterator[Model]:
    """The models that answer messages on this machine."""
    for model in models(settings):
        if model.why_not is None and registry.of(model.name).takes_messages:
            yield model


def ask_for(name: str, settings: Settings) -> Model | None:
    """The model of that name if it answers messages on this machine, whether or not a list can have it.

    An endpoint may answer any name that fits a pattern, such as `local:*`.
    """
    provider = registry.find(name)
    if provider is None or not provider.takes_messages or provider.name == registry.NOBODY:
        return None
    try:
        registry.refuse_misspelt(name, settings)
    except BadInput:
        return None
    model = _model(name, provider, settings)
    return model if model.why_not is None else None


def _model(name: str, provider: registry.Provider, settings: Settings) -> Model:
    return Model(
        name=name,
        provider=provider.name,
        is_default=name == settings.default_model,
        context=price_list.context(name),
        price=pricing.price_at(name, dt.datetime.now(dt.UTC)),
        why_not=_why_not(name, provider, settings),
    )


def _why_not(name: str, provider: registry.Provider, settings: Settings) -> str | None:
    lacks = provider.lacks(settings)
    if price_list.is_retired(name):
        return "retired by its provider"
    return None if lacks is None else lacks.state


def write(model: Model) -> dict[str, Any]:
    """The model as JSON; prices in USD per million tokens, as decimal strings."""
    return {
        "name": model.name,
        "provider": model.provider,
        "default": model.is_default,
        "available": model.why_not is None,
        "why_not": model.why_not,
        "context": model.context,
        "price": None if model.price is None else _price_out(model.price),
    }


def _price_out(price: Price) -> dict[str, Any]:
    over = price.long_over
    long_prompt = None if over is None else {"over": over, **_rates_out(price.long_prompt)}
    return {**_rates_out(price.short_prompt), "long_prompt": long_prompt}


def _rates_out(rates: Rates) -> dict[str, str]:
    return {each.name: pricing.dollars(getattr(rates, each.name) * 1_000_000) for each in fields(rates)}
