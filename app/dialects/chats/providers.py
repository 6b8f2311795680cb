"""Who answers and who searches: the words of the wire, and what they mean for a job. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import BadRequest
from app.providers import registry
from config.settings import Settings

NONE = "none"
SEARCHES = 5  # of one answer
# The version that every model with a web search knows; later ones need the newest.
WEB_SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": SEARCHES}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a batch is asked with."""

    model: str
    search: str
    params: Mapping[str, Any] = field(default_factory=dict)


def choose(ai: str | None, search: str | None, settings: Settings) -> Chosen:
    """What was asked for, or what is set up where nothing was.

    Raises `BadRequest` that names what there is, and `Unavailable` where DEFAULT_MODEL is taken and has no
    key.
    """
    model = _model(ai, settings)
    if search in (None, "", NONE):
        return Chosen(model, NONE)
    provider = registry.of(model)
    able = [NONE, *([provider.name] if provider is registry.ANTHROPIC else [])]
    if search not in able:
        raise BadRequest(
            f"searchProvider: {search!r} does not search for {provider.name!r} here;"
            f" set up are: {', '.join(able)}"
        )
    return Chosen(model, str(search), {"tools": [WEB_SEARCH]})


def _model(ai: str | None, settings: Settings) -> str:
    if ai in (None, ""):
        registry.require(settings.default_model, settings)
        return settings.default_model
    models = {
        registry.ANTHROPIC.name: settings.chat_model_anthropic,
        registry.SIMULATED.name: registry.SIMULATED.name,
    }
    ready = [provider.name for provider in registry.ready(settings) if provider.name in models]
    if ai not in ready:
        lacks = registry.PROVIDERS[ai].lacks(settings) if ai in models else None
        why = "is not known" if lacks is None else f"has no key ({lacks.variable})"
        raise BadRequest(f"aiProvider: {ai!r} {why}; set up are: {', '.join(sorted(ready))}")
    return models[ai]
