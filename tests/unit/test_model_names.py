"""Misspelt names of models: what they were meant to be, and which are refused."""

import pytest

from app.errors import BadInput
from app.providers import model_names, registry
from config import price_list
from config.settings import read

KEY = {"ANTHROPIC_API_KEY": "sk-test"}
PRICED = {"BATCH_COST_PER_1K_INPUT_TOKENS": "0.001", "BATCH_COST_PER_1K_OUTPUT_TOKENS": "0.005"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("claude-haiku-4.5", "claude-haiku-4-5"),
        ("Claude Haiku 4.5", "claude-haiku-4-5"),
        ("claude_sonnet_5_5", "claude-sonnet-5-5"),
        ("claude-4-5-haiku", "claude-haiku-4-5"),
        ("haiku-4-5", "claude-haiku-4-5"),
        ("claude-hiaku-5-5", "claude-haiku-5-5"),
        ("claude-opuss-5", "claude-opus-5"),
        ("haiku", "claude-haiku-5-5"),
        ("sonnet", "claude-sonnet-5-5"),
        ("claude-sonnet-latest", "claude-sonnet-5-5"),
        ("simulate", "simulated"),
        ("simulated-2", "simulated"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_one_that_was_meant(written: str, meant: str) -> None:
    for settings in (read({}), read(KEY)):
        with pytest.raises(BadInput, match=r"is not known: did you mean") as refused:
            registry.require(written, settings, "model")
        assert refused.value.message.partition("did you mean ")[2].startswith(f"'{meant}'")
        assert "GET /api/v1/models" in refused.value.message


@pytest.mark.parametrize("model", ["claude-haiku-6", "claude-opus-9", "claude-nova-7", "claude-of-tomorrow"])
def test_a_model_newer_than_the_price_list_is_asked(model: str) -> None:
    registry.require(model, read(KEY))


@pytest.mark.parametrize("model", price_list.models())
def test_a_listed_model_is_meant_as_it_is_written(model: str) -> None:
    assert not model_names.is_misspelt(model)
    assert not model_names.is_misspelt(f"{model}-20251001")


def test_a_name_that_only_a_gateway_knows_is_asked_once_it_has_a_price() -> None:
    registry.require("claude-haiku-4.5", read(KEY | PRICED))
    with pytest.raises(BadInput, match="BATCH_COST_PER_1K_INPUT_TOKENS"):
        registry.require("claude-haiku-4.5", read(KEY))


def test_retired_models_are_not_suggested() -> None:
    assert price_list.is_retired("claude-3-5-haiku")
    assert "claude-3-5-haiku" not in model_names.suggestions("haiku")
    assert list(model_names.suggestions("gpt-6")) == []
