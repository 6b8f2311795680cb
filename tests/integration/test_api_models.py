"""The models that a job can name: their prices, whether they can be asked, and what a misspelt name meant."""

import pytest

from config import settings
from tests.support.front_door import JOBS, Door

pytestmark = pytest.mark.one_database


@pytest.fixture
def door(environment) -> Door:
    return Door()


def listed(door: Door) -> dict:
    return {model["name"]: model for model in door.get("/api/v1/models").get_json()["data"]}


def test_models_are_listed_with_their_prices_and_whether_they_can_be_asked(door, monkeypatch):
    # Given no key
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    settings.current.cache_clear()
    without = listed(door)

    # Then the prices are there, and what is missing
    haiku, simulated = without["claude-haiku-5-5"], without["simulated"]
    assert (haiku["price"]["input"], haiku["price"]["output"]) == ("0.10", "0.50")
    assert haiku["price"]["long_prompt"]["over"] == 100_000
    assert haiku["price"]["long_prompt"]["output"] == "2.50"
    assert haiku["context"] == 1_000_000
    assert (haiku["available"], haiku["why_not"]) == (False, "ANTHROPIC_API_KEY is not set")
    assert (simulated["available"], simulated["why_not"]) == (True, None)
    assert [name for name, model in without.items() if model["default"]] == ["claude-haiku-4-5"]

    # And with a key those that are not retired can be asked
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    monkeypatch.setenv("INFERENCE_URL", "http://models:8080")
    monkeypatch.setenv("INFERENCE_MODEL", "fraud")
    settings.current.cache_clear()
    having = listed(door)
    assert having["claude-haiku-5-5"]["available"]
    assert having["inference:fraud"]["available"]
    assert having["claude-3-5-haiku"]["why_not"] == "retired by its provider"


@pytest.mark.parametrize("key", ["", "sk-test"])
@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("claude-haiku-4.5", "'claude-haiku-4-5'?"),
        ("haiku", "'claude-haiku-5-5' or 'claude-haiku-4-5'?"),
        ("Claude Sonnet 5.5", "'claude-sonnet-5-5'?"),
    ],
)
def test_a_misspelt_model_is_a_422_that_says_which_was_meant(door, monkeypatch, key, model, meant):
    monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    settings.current.cache_clear()
    record = {"params": {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}}
    for path, body in [
        (JOBS, {"model": model, "records": [{"prompt": "Hi"}]}),
        (f"{JOBS}/estimate", {"model": model, "records": [{"prompt": "Hi"}]}),
        *([(JOBS, {"model": "claude-haiku-4-5", "records": [record]})] if model[0] == "c" and key else ()),
    ]:
        answer = door.post(path, json=body)
        assert answer.status_code == 422, answer.text
        assert f"did you mean {meant}" in answer.get_json()["error"]["message"]
    assert door.get(JOBS).get_json()["data"] == []


def test_a_model_without_a_key_is_a_422_that_names_the_variable(door, monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    settings.current.cache_clear()
    for body in ({"records": [{"prompt": "Hi"}]}, {"model": "claude-opus-9", "records": [{"prompt": "Hi"}]}):
        answer = door.post(JOBS, json=body)
        assert answer.status_code == 422
        assert "set ANTHROPIC_API_KEY" in answer.get_json()["error"]["message"]
        assert "Retry-After" not in answer.headers
