"""Which provider answers a model, and what it needs."""

import subprocess
import sys

import pytest

from app.errors import BadInput, Unavailable
from app.providers import registry
from config.settings import Settings, read

WITHOUT_KEY = read({})
WITH_KEY = read({"ANTHROPIC_API_KEY": "sk-test"})


@pytest.mark.parametrize(
    ("model", "provider"),
    [("simulated", "simulated"), ("claude-haiku-4-5", "anthropic"), ("claude-of-tomorrow", "anthropic")],
)
def test_a_models_name_tells_its_provider(model: str, provider: str) -> None:
    assert registry.provider_of(model) == provider
    assert registry.limit_group(model) == provider


@pytest.mark.parametrize("model", ["gpt-6", "", "simulated-2", "Claude"])
def test_an_unknown_model_is_refused_by_name(model: str) -> None:
    with pytest.raises(BadInput, match=r"is not known.*'claude'.*'simulated'") as refused:
        registry.provider_of(model)
    assert repr(model) in refused.value.message


def test_a_model_without_key_is_refused_with_the_variable_to_set() -> None:
    with pytest.raises(Unavailable, match="ANTHROPIC_API_KEY"):
        registry.require_key("claude-haiku-4-5", WITHOUT_KEY)
    with pytest.raises(Unavailable, match="ANTHROPIC_API_KEY"):
        registry.client_maker("anthropic", WITHOUT_KEY)


@pytest.mark.parametrize(("model", "settings"), [("claude-haiku-4-5", WITH_KEY), ("simulated", WITHOUT_KEY)])
def test_a_model_that_can_be_asked_is_not_refused(model: str, settings: Settings) -> None:
    registry.require_key(model, settings)


def test_only_paid_providers_have_limits_that_nobody_set() -> None:
    assert registry.requests_per_minute("anthropic", WITHOUT_KEY) == 50
    assert registry.max_concurrent_calls("anthropic", WITHOUT_KEY) == 5
    assert registry.requests_per_minute("simulated", WITHOUT_KEY) is None
    assert registry.max_concurrent_calls("simulated", WITHOUT_KEY) is None


def test_limits_that_are_set_hold_for_every_provider() -> None:
    settings = read(
        {
            "CLAUDE_REQUESTS_PER_MINUTE": "1000",
            "SIMULATED_REQUESTS_PER_MINUTE": "7",
            "BATCH_MAX_CONCURRENT_LLM_CALLS": "3",
        }
    )
    assert registry.requests_per_minute("anthropic", settings) == 1000
    assert registry.requests_per_minute("simulated", settings) == 7
    assert {registry.max_concurrent_calls(group, settings) for group in ("anthropic", "simulated")} == {3}


def test_no_sdk_is_imported_to_know_a_provider() -> None:
    # Given a fresh interpreter that asks everything but for a client
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from app.providers import registry\n"
            "from config.settings import read\n"
            "registry.require_key('claude-haiku-4-5', read({'ANTHROPIC_API_KEY': 'k'}))\n"
            "registry.client_maker('simulated', read({}))()\n"
            "print('anthropic' in sys.modules, 'aiohttp' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    # Then no SDK and no transport came with it
    assert told.stdout.split() == ["False", "False"]
