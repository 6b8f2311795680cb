"""Which provider answers a model, and what it needs."""

import subprocess
import sys

import pytest

from app.errors import BadInput, Unavailable
from app.providers import factory, registry
from app.providers.client import RateLimits
from app.providers.inference.batching import Batching
from config.settings import Settings, read

WITHOUT_KEY = read({})

WITH_KEY = read({"ANTHROPIC_API_KEY": "sk-test"})


def at_once() -> Batching:
    return Batching(
        max_batch_size=1, max_wait_time_ms=0, enable_dynamic_batching=True, enable_adaptive_batching=True
    )


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("simulated", "simulated"),
        ("claude-haiku-4-5", "anthropic"),
        ("claude-of-tomorrow", "anthropic"),
        ("inference:model-v1.0", "inference"),
    ],
)
def test_a_models_name_tells_its_provider(model: str, provider: str) -> None:
    assert registry.of(model).name == provider
    assert registry.limit_group(model).partition(":")[0] == provider


@pytest.mark.parametrize(
    "model", ["gemini-9", "", "invented", "Claude", "inference:", "inference:..", "inference:a/b"]
)
def test_an_unknown_model_is_refused_by_name(model: str) -> None:
    with pytest.raises(BadInput, match=r"is not known.*'claude'.*'simulated'") as refused:
        registry.of(model)
    assert repr(model) in refused.value.message


def test_a_model_without_key_is_refused_with_the_variable_to_set() -> None:
    with pytest.raises(BadInput, match=r"ANTHROPIC_API_KEY.*, set DEFAULT_MODEL=simulated there$"):
        registry.require("claude-haiku-4-5", WITHOUT_KEY)
    with pytest.raises(BadInput, match=r"ANTHROPIC_API_KEY.*, give 'simulated' as `model`$"):
        registry.require("claude-opus-4-5", WITHOUT_KEY, "model")
    with pytest.raises(BadInput, match=r"set ANTHROPIC_API_KEY where Penstock runs$"):
        registry.require("claude-opus-4-5", WITHOUT_KEY)
    with pytest.raises(Unavailable, match="ANTHROPIC_API_KEY"):
        factory.client_maker("anthropic", WITHOUT_KEY, at_once)
    with pytest.raises(BadInput, match="INFERENCE_URL"):
        registry.require("inference:model-v1.0", WITH_KEY)
    with pytest.raises(Unavailable, match="INFERENCE_URL"):
        factory.client_maker("inference", WITH_KEY, at_once)


def test_what_a_provider_needs_decides_whether_it_is_ready() -> None:
    assert registry.ready(WITHOUT_KEY) == [registry.SIMULATED]
    assert registry.ready(WITH_KEY) == [registry.ANTHROPIC, registry.SIMULATED]
    assert registry.ready(read({"INFERENCE_URL": "http://models:8080"})) == [
        registry.INFERENCE,
        registry.SIMULATED,
    ]


def test_each_row_is_whole() -> None:
    # Given that everything is set which any row says that it needs
    needs = {row.need.variable: row for row in registry.table().values() if row.need is not None}
    settings = read(dict.fromkeys(needs, "http://models:8080"))
    table = registry.table(settings)

    # Then each names its variable where it is missing, can be asked, and has what makes its client
    assert all(row.need and variable in row.need.sentence for variable, row in needs.items())
    assert registry.ready(settings) == list(table.values())
    assert {row.client for row in table.values()} == factory.MAKERS.keys()
    for row in table.values():
        assert callable(factory.client_maker(row.name, settings, at_once))


@pytest.mark.parametrize(
    "model", ["simulated", "claude-haiku-4-5", "claude\nnewer", "inference:model-v1.0", "none"]
)
def test_a_model_is_answered_by_one_row_alone(model: str) -> None:
    rows = [row for row in registry.table().values() if row.models.fullmatch(model)]
    assert len(rows) == (0 if model == registry.NOBODY else 1)


def test_documents_that_are_only_stored_have_a_name_and_nobody_to_ask() -> None:
    # Given the model of jobs whose documents are only stored
    nobody = registry.of(registry.NOBODY)

    # Then it is its own limit group, costs nothing and is no provider that could be asked
    assert nobody.name == registry.limit_group(registry.NOBODY) == registry.NOBODY
    assert not nobody.is_paid
    assert nobody not in registry.ready(WITH_KEY)
    with pytest.raises(BadInput, match="only stored"):
        registry.require(registry.NOBODY, WITH_KEY)


@pytest.mark.parametrize(
    ("model", "inputs", "messages"),
    [("inference:m", True, False), ("claude-haiku-4-5", False, True), ("simulated", True, True)],
)
def test_a_row_says_what_its_models_take(model: str, inputs: bool, messages: bool) -> None:
    provider = registry.of(model)
    assert (provider.takes_inputs, provider.takes_messages) == (inputs, messages)


def test_a_model_of_an_inference_server_has_a_name_of_its_own_there() -> None:
    assert registry.INFERENCE.served_name("inference:m") == registry.INFERENCE.served_name("m") == "m"


@pytest.mark.parametrize(
    ("group", "known"),
    [
        ("simulated", True),
        ("anthropic:sonnet-4", True),
        ("anthropic:claude-of-tomorrow", False),
        ("anthropic", False),
        ("inference:m", False),
        ("inference", False),
        ("none", False),
        ("openai:gpt", False),
        ("openai:gpt-4o", True),
        ("vllm:gpt-4o", False),
    ],
)
def test_groups_are_known_before_any_job_uses_them(group: str, known: bool) -> None:
    assert registry.is_group(group) is known


def test_a_group_whose_provider_has_left_the_table_can_still_be_listed() -> None:
    assert registry.assumed("gone:gpt") == registry.configured("gone:gpt", WITH_KEY) == RateLimits()
    assert registry.max_concurrent_calls("gone:gpt", WITH_KEY) is None


def test_reads_from_the_cache_count_for_old_classes_alone() -> None:
    assert registry.cache_reads_count("anthropic:haiku-3.5")
    assert not registry.cache_reads_count("anthropic:haiku-4.5")
    assert not registry.cache_reads_count("simulated")


@pytest.mark.parametrize(("model", "settings"), [("claude-haiku-4-5", WITH_KEY), ("simulated", WITHOUT_KEY)])
def test_a_model_that_can_be_asked_is_not_refused(model: str, settings: Settings) -> None:
    registry.require(model, settings)


def test_only_paid_providers_have_limits_that_nobody_set() -> None:
    assert registry.assumed("anthropic:opus-5").requests == 50
    assert registry.configured("anthropic:opus-5", WITHOUT_KEY) == RateLimits()
    assert registry.max_concurrent_calls("anthropic:opus-5", WITHOUT_KEY) is None
    assert registry.assumed("simulated") == registry.configured("simulated", WITHOUT_KEY) == RateLimits()
    assert registry.max_concurrent_calls("simulated", WITHOUT_KEY) is None
    assert registry.assumed("inference:m") == registry.configured("inference:m", WITHOUT_KEY) == RateLimits()


def test_only_contracts_that_promise_a_bound_have_one_that_nobody_set() -> None:
    assert registry.promised_concurrency("claude-opus-5", WITHOUT_KEY) == 5
    assert registry.promised_concurrency("simulated", WITHOUT_KEY) is None
    assert registry.promised_concurrency(registry.NOBODY, WITHOUT_KEY) is None
    for bound in (3, 50):
        settings = read({"BATCH_MAX_CONCURRENT_LLM_CALLS": str(bound)})
        assert registry.promised_concurrency("claude-opus-5", settings) == bound


def test_limits_that_are_set_hold_for_every_provider() -> None:
    settings = read(
        {
            "CLAUDE_REQUESTS_PER_MINUTE": "1000",
            "SIMULATED_REQUESTS_PER_MINUTE": "7",
            "BATCH_MAX_CONCURRENT_LLM_CALLS": "3",
        }
    )
    assert registry.configured("anthropic:opus-5", settings).requests == 1000
    assert registry.configured("simulated", settings).requests == 7
    assert {
        registry.max_concurrent_calls(group, settings) for group in ("anthropic:opus-5", "simulated")
    } == {3}
    # But items of an inference server are no calls of a language model
    assert registry.configured("inference:m", settings) == RateLimits()
    assert registry.max_concurrent_calls("inference:m", settings) is None


@pytest.mark.parametrize(
    ("model", "group"),
    [
        ("claude-opus-4-8", "anthropic:opus-4"),
        ("claude-opus-4-1-20250805", "anthropic:opus-4"),
        ("claude-opus-5", "anthropic:opus-5"),
        ("claude-opus-5-5", "anthropic:opus-5.5"),
        ("claude-haiku-4-5-20251001", "anthropic:haiku-4.5"),
        ("claude-mythos-5-1", "anthropic:fable-5"),
        ("claude-of-tomorrow", "anthropic:claude-of-tomorrow"),
        ("simulated", "simulated"),
        ("inference:model-v1.0", "inference:model-v1.0"),
    ],
)
def test_models_of_one_class_share_a_limit_group(model: str, group: str) -> None:
    assert registry.limit_group(model) == group


def test_no_sdk_is_imported_to_know_a_provider() -> None:
    # Given a fresh interpreter that asks everything but for a client
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from app.providers import factory, registry\n"
            "from config.settings import read\n"
            "registry.require('claude-haiku-4-5', read({'ANTHROPIC_API_KEY': 'k'}))\n"
            "factory.client_maker('simulated', read({}), None)()\n"
            "print('anthropic' in sys.modules, 'aiohttp' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    # Then no SDK and no transport came with it
    assert told.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("default", "variable"),
    [
        ("simulated", "ANTHROPIC_API_KEY"),
        ("claude-haiku-4-5", "ANTHROPIC_API_KEY"),
        ("gpt-4o-mini", "OPENAI_API_KEY"),
        ("inference:mine", "INFERENCE_URL"),
    ],
)
def test_what_a_real_answer_needs_is_that_of_the_default_model(default: str, variable: str) -> None:
    chosen = read({"DEFAULT_MODEL": default})
    assert registry.needed_by_default(chosen) == variable
