"""Makes the clients that answer records, in slice workers only: loads a provider's module and SDK."""

from collections.abc import Callable, Mapping
from functools import partial

from app.errors import Unavailable
from app.providers import registry
from app.providers.client import Client
from app.providers.inference.batching import Batching
from app.providers.registry import Provider
from config import endpoints
from config.settings import Settings

Make = Callable[[], Client]  # on the loop of a slice worker


def client_maker(name: str, settings: Settings, batching: Callable[[], Batching]) -> Make:
    """A function that makes a client of the named provider; `batching` returns the settings for items.

    Importing a provider's SDK takes seconds and 90 MB, and happens here: call this on another thread, or the
    loop is blocked for so long that its process is declared dead.
    """
    provider = registry.table(settings).get(name)
    if provider is None:
        raise Unavailable(f"provider {name!r} is in no file of endpoints any more: see {endpoints.FILE}")
    return MAKERS[provider.client](provider, settings, batching)


def _anthropic(provider: Provider, settings: Settings, _: Callable[[], Batching]) -> Make:
    key = _required_value(provider, settings)
    from app.providers.anthropic import AnthropicClient

    return partial(AnthropicClient, key, settings.anthropic_base_url)


def _inference(provider: Provider, settings: Settings, batching: Callable[[], Batching]) -> Make:
    url = _required_value(provider, settings)
    from app.providers.inference.client import InferenceClient

    return partial(InferenceClient, url, batching)


def _openai(provider: Provider, settings: Settings, _: Callable[[], Batching]) -> Make:
    if lacks := provider.lacks(settings):
        raise Unavailable(f"provider {provider.name!r} {lacks.sentence}")
    from app.providers.openai import OpenAIClient

    endpoint = next(each for each in settings.endpoints if each.name == provider.name)
    return partial(OpenAIClient, endpoint)


def _simulated(_provider: Provider, _settings: Settings, _batching: Callable[[], Batching]) -> Make:
    from app.providers.simulated import SimulatedClient

    return SimulatedClient


def _required_value(provider: Provider, settings: Settings) -> str:
    """The key or the address of a provider; raises `Unavailable` where it is not set."""
    assert provider.need is not None
    value = provider.need.value(settings)
    if not value:
        raise Unavailable(f"provider {provider.name!r} {provider.need.sentence}")
    return value


MAKERS: Mapping[str, Callable[[Provider, Settings, Callable[[], Batching]], Make]] = {
    "anthropic": _anthropic,
    "inference": _inference,
    "openai": _openai,
    "simulated": _simulated,
}
