"""Which provider answers a model, what it needs and what it allows. No SDK is imported to know that."""

import re

from app.errors import BadInput, Unavailable
from app.providers import classes
from app.providers.client import RateLimits
from config.settings import Settings

CONCURRENT_CALLS = 5  # of a job, for providers that somebody pays
NOBODY = "none"  # model, provider and limit group of a job whose records ask nothing
REQUESTS_OF_EVERY_ACCOUNT = 50  # a minute: until its answers tell what it really may
UNPAID = ("simulated", "inference")  # providers that bill nobody: no limits but those that are set

# A name becomes a part of the inference server's addresses.
_INFERENCE = re.compile(r"inference:([A-Za-z0-9][A-Za-z0-9._-]{0,127})")


def provider_of(model: str) -> str:
    """The provider that answers `model`; raises `BadInput` when none does."""
    if model == NOBODY:
        return NOBODY
    if model == "simulated":
        return "simulated"
    if model.startswith("claude"):
        return "anthropic"
    if _INFERENCE.fullmatch(model):
        return "inference"
    raise BadInput(
        f"model {model!r} is not known: give a name that starts with 'claude', 'inference:' and the name of a"
        " model of the inference server, or 'simulated' for invented answers"
    )


def takes_inputs(model: str) -> bool:
    """Whether `model` is asked with tensors (`input`), and with nothing else."""
    return provider_of(model) == "inference"


def served_name(model: str) -> str:
    """What the inference server calls `model`."""
    return model.removeprefix("inference:")


def is_unpaid(model: str) -> bool:
    """Whether nobody is billed for calls of this model, or limit group, by the token."""
    return model.partition(":")[0] in UNPAID


def require_key(model: str, settings: Settings) -> None:
    """Raise `Unavailable` when the provider of `model` has no key on this machine."""
    if model == NOBODY:
        raise BadInput("model 'none' is for documents that are only stored: name one that answers")
    provider = provider_of(model)
    if provider == "anthropic" and not settings.anthropic_api_key:
        raise Unavailable(
            f"model {model!r} needs a key, and none is set: set ANTHROPIC_API_KEY where Penstock runs,"
            " or ask for the model 'simulated'"
        )
    if provider == "inference" and not settings.inference_url:
        raise Unavailable(f"model {model!r} needs an inference server: set INFERENCE_URL where Penstock runs")


def ready_providers(settings: Settings) -> list[str]:
    """The providers that can be asked on this machine."""
    configured = {"anthropic": settings.anthropic_api_key, "inference": settings.inference_url}
    return ["simulated", *(provider for provider, told in configured.items() if told)]


def limit_group(model: str) -> str:
    """What shares the provider's limits with `model`: all of its class, such as `anthropic:sonnet-4`."""
    provider = provider_of(model)
    if provider == NOBODY or provider in UNPAID:
        return model
    return f"{provider}:{classes.class_of(model).name}"


def configured(group: str, settings: Settings) -> RateLimits:
    """What an operator allows a limit group, by its class in the file, else by the environment."""
    if group == "simulated":
        return RateLimits(requests=settings.simulated_requests_per_minute)
    own = classes.named(group.partition(":")[2])
    if is_unpaid(group):
        return RateLimits(requests=own.requests_per_minute, concurrent=own.max_concurrent_calls)
    return RateLimits(
        requests=own.requests_per_minute or settings.claude_requests_per_minute,
        input_tokens=own.input_tokens_per_minute or settings.claude_input_tokens_per_minute,
        output_tokens=own.output_tokens_per_minute or settings.claude_output_tokens_per_minute,
        concurrent=own.max_concurrent_calls,
    )


def assumed(group: str) -> RateLimits:
    """What a limit group may do when nobody has said anything."""
    return RateLimits() if is_unpaid(group) else RateLimits(requests=REQUESTS_OF_EVERY_ACCOUNT)


def cache_reads_count(group: str) -> bool:
    """Whether tokens that are read from the cache count toward the group's input limit."""
    return classes.named(group.partition(":")[2]).cache_reads_count


def max_concurrent_calls(group: str, settings: Settings) -> int | None:
    """How many calls of one job may be in flight, over all workers; None: any number.

    Items for an inference server are no calls of their own, and no language model's.
    """
    if group.startswith("inference:"):
        return None
    if settings.max_concurrent_calls is None and not is_unpaid(group):
        return CONCURRENT_CALLS
    return settings.max_concurrent_calls
