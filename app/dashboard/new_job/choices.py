"""What can be chosen on the page of a new job."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from app.core.money import catalog, pricing
from app.core.money.catalog import Model
from app.core.requests.answer_fields import KINDS
from app.ingest import encodings
from app.providers import registry
from app.services import operation_jobs
from app.web.submissions.fields import SEPARATORS
from config.settings import Settings

KIND_EXAMPLES = ("1..5", "good | bad", "list of text")  # of fields of an answer
SEPARATOR_NAMES = {",": "comma", ";": "semicolon", "tab": "tab", "|": "vertical bar"}


@dataclass(frozen=True, slots=True)
class Choosable:
    """A model in a list. `why_not`: it cannot be asked here."""

    name: str
    label: str
    why_not: str | None


def models(settings: Settings) -> list[tuple[str, list[Choosable]]]:
    """The models that answer prompts, by provider."""
    found = [model for model in catalog.models(settings) if registry.of(model.name).takes_messages]
    usable_first = sorted(found, key=lambda model: (model.why_not is not None, model.provider))
    groups = groupby(usable_first, key=lambda model: (model.why_not, model.provider))
    return [(_group(provider, why_not), list(map(_choosable, some))) for (why_not, provider), some in groups]


def first_model(settings: Settings) -> str:
    """The default, or the one that invents its answers where nobody can be asked."""
    lacks = registry.of(settings.default_model).lacks(settings)
    if lacks is None:
        return settings.default_model
    askable = (model.name for model in catalog.askable(settings) if model.provider != registry.SIMULATED.name)
    return next(askable, registry.SIMULATED.name)


def lacking(settings: Settings) -> str | None:
    """The variable that is missing, where no provider can be asked."""
    real = (model for model in catalog.askable(settings) if model.provider != registry.SIMULATED.name)
    if next(iter(real), None) is not None:
        return None
    lacks = registry.real_by_default(settings).lacks(settings)
    return None if lacks is None else lacks.sentence


def all_of(settings: Settings) -> Mapping[str, Any]:
    """The lists of the page's controls."""
    ready: Iterable[registry.Provider] = registry.ready(settings)
    names = {provider.name for provider in ready}
    return {
        "models": models(settings),
        "kinds": [*KINDS, *KIND_EXAMPLES],
        "encodings": encodings.NAMED,
        "separators": SEPARATOR_NAMES,
        "separator_by_character": {character: name for name, character in SEPARATORS.items()},
        "operations": operation_jobs.OPERATIONS,
        "providers": [name for name in (registry.ANTHROPIC.name, registry.SIMULATED.name) if name in names],
        "lacking": lacking(settings),
    }


def _group(provider: str, why_not: str | None) -> str:
    if provider == registry.SIMULATED.name:
        return "invented answers, for trying out"
    return provider if why_not is None else f"{provider} ({why_not})"


def _choosable(model: Model) -> Choosable:
    return Choosable(model.name, f"{model.name} · {_price(model)}", model.why_not)


def _price(model: Model) -> str:
    if model.provider == registry.SIMULATED.name:
        return "invents its answers, costs nothing"
    if model.price is None:
        return "price not known"
    rates = model.price.short_prompt
    written = (pricing.dollars(rate * 1_000_000) for rate in (rates.input, rates.output))
    into, out = (text.rstrip("0").rstrip(".") if "." in text else text for text in written)
    return f"${into} in, ${out} out for a million tokens"
