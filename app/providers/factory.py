"""What makes a provider's client, in slice workers alone: its SDK is imported here."""

from collections.abc import Callable
from functools import partial

from app.errors import Unavailable
from app.providers.batching import Batching
from app.providers.client import Client
from config.settings import Settings


def client_maker(provider: str, settings: Settings, batching: Callable[[], Batching]) -> Callable[[], Client]:
    """What makes a client on the loop of a slice worker; `batching` says what is in force for items.

    A provider's SDK takes seconds and 90 MB to import, which happens here: call it on another thread, or the
    loop stands still for so long that its process is taken for dead.
    """
    if provider == "simulated":
        from app.providers.simulated import SimulatedClient

        return SimulatedClient
    if provider == "inference":
        if not settings.inference_url:
            raise Unavailable("provider 'inference' has no server: set INFERENCE_URL where the workers run")
        from app.providers.inference import InferenceClient

        return partial(InferenceClient, settings.inference_url, batching)
    if not settings.anthropic_api_key:
        raise Unavailable("provider 'anthropic' has no key: set ANTHROPIC_API_KEY where the workers run")
    from app.providers.anthropic import AnthropicClient

    return partial(AnthropicClient, settings.anthropic_api_key, settings.anthropic_base_url)
