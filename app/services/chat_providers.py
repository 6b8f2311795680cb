"""Providers and search providers: this contract's names, and what they mean for a job. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import BadRequest
from app.providers import registry
from config.settings import Settings

NONE = "none"
SEARCHES = 5  # per answer
# The version that every model with web search supports; later ones need the newest models.
WEB_SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": SEARCHES}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A batch's model and search."""

    model: str
    search: str
    params: Mapping[str, Any] = field(default_factory=dict)


def choose(ai: str | None, search: str | None, settings: Settings) -> Chosen:
    """The requested provider and search, or the configured default.

    Raises `BadRequest` listing the options, and `BadInput` where DEFAULT_MODEL applies and has no key.
    """
    model = _model(ai, settings)
    if search in (None, "", NONE):
        return Chosen(model, NONE)
    provider = registry.of(model)
    able = [NONE, *([provider.name] if provider is registry.ANTHROPIC else [])]
    if search not in able:
        raise BadRequest(
            f"searchProvider: {search!r} is not available with {provider.name!r};"
            f" available: {', '.join(able)}"
        )
    return Chosen(model, str(search), {"tools": [WEB_SEARCH]})


def _model(ai: str | None, settings: Settings) -> str:
    if ai in (None, ""):
        registry.require(settings.default_model, settings, "aiProvider")
        return settings.default_model
    models = {
        registry.ANTHROPIC.name: settings.chat_model_anthropic,
        registry.SIMULATED.name: registry.SIMULATED.name,
    }
    ready = [provider.name for provider in registry.ready(settings) if provider.name in models]
    if ai not in ready:
        lacks = registry.table(settings)[ai].lacks(settings) if ai in models else None
        why = "is unknown" if lacks is None else lacks.sentence
        raise BadRequest(f"aiProvider: {ai!r} {why}; available: {', '.join(sorted(ready))}")
    return models[ai]
