"""Endpoints as a file names them: which answers a model, and what is wrong with a file, by its place."""

import datetime as dt
from pathlib import Path

import pytest

from app.core.money import pricing
from app.errors import BadInput, Unavailable
from app.providers import factory, registry
from app.providers.client import RateLimits, Usage
from config.endpoints import key_variables, versioned
from config.settings import BadSetting, Settings, current, read

TODAY = dt.date(2026, 11, 27)
OWN = """
[[endpoint]]
name = "gateway"
base_url = "http://gateway:4000"
key = "GATEWAY_KEY"
models = ["gpt-5*", "claude-haiku-*"]
requests_per_minute = 60
tokens_per_minute = 9000

[[endpoint]]
name = "ollama"
base_url = "http://127.0.0.1:11434/"
models = ["local:*"]
prefix = "local:"
bills = false
class = "gpu"
max_concurrent_calls = 4

[[endpoint]]
name = "anything"
base_url = "http://10.0.0.1/v1beta/openai"
models = ["*"]
bills = false
"""


def with_file(folder: Path, text: str, **more: str) -> Settings:
    file = folder / "providers.toml"
    file.write_text(text)
    return read({"PENSTOCK_PROVIDERS_FILE": str(file), **more})


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A process whose environment names a file with three endpoints."""
    file = tmp_path / "providers.toml"
    file.write_text(OWN)
    monkeypatch.setenv("PENSTOCK_PROVIDERS_FILE", str(file))
    monkeypatch.setenv("GATEWAY_KEY", "sk-gateway")
    current.cache_clear()
    yield current()
    current.cache_clear()


@pytest.mark.parametrize(
    ("model", "provider", "group"),
    [
        ("gpt-4o-mini-2024-07-18", "openai", "openai:gpt-4o-mini"),
        ("gpt-5-mini", "gateway", "gateway:gpt-5-mini"),
        ("claude-haiku-4-5", "gateway", "gateway:haiku-4.5"),
        ("claude-opus-5", "anthropic", "anthropic:opus-5"),
        ("local:llama3.2:1b", "ollama", "ollama:gpu"),
        ("mistral-7b", "anything", "anything:mistral-7b"),
        ("simulated", "simulated", "simulated"),
        ("none", "none", "none"),
        ("inference:m", "inference", "inference:m"),
    ],
)
def test_the_closest_pattern_answers(own, model, provider, group):
    assert registry.of(model).name == provider
    assert registry.limit_group(model) == group


def test_a_row_sets_the_limits_of_its_groups(own):
    assert registry.configured("gateway:gpt-5", own) == RateLimits(requests=60, input_tokens=9_000)
    assert registry.configured("ollama:gpu", own) == RateLimits(concurrent=4)
    assert registry.counts_tokens_together("gateway:gpt-5")
    assert not registry.counts_tokens_together("anthropic:opus-5")
    assert registry.is_group("ollama:gpu")


def test_what_does_not_bill_costs_nothing_whatever_its_name(own):
    usage = Usage(input_tokens=1_000_000, cache_read_tokens=1_000_000, output_tokens=1_000_000)
    prices = {name: pricing.price_at(name, TODAY) for name in ("local:gpt-4o", "gpt-4o", "gpt-4o-2024-08-06")}
    assert prices["local:gpt-4o"].cost(usage) == 0
    assert prices["gpt-4o"].cost(usage) == round((2.50 + 1.25 + 10) * pricing.PICO)
    assert prices["gpt-4o-2024-08-06"] == prices["gpt-4o"]
    assert pricing.price_at("gpt-5-of-tomorrow", TODAY) is None


def test_keys_are_read_once_and_never_shown(own):
    gateway = own.endpoints[0]
    assert gateway.key_value == "sk-gateway"
    assert "sk-gateway" not in repr(own)
    assert key_variables(str(own.providers_file)) == {"GATEWAY_KEY"}
    assert key_variables("/nowhere") == frozenset()


def test_an_endpoint_without_its_key_names_the_variable(tmp_path):
    settings = with_file(tmp_path, OWN)
    names = [row.name for row in registry.ready(settings)]
    assert names == ["ollama", "anything", "simulated"]
    with pytest.raises(Unavailable, match="GATEWAY_KEY"):
        factory.client_maker("gateway", settings, lambda: None)
    with pytest.raises(Unavailable, match=r"'gone'.*PENSTOCK_PROVIDERS_FILE"):
        factory.client_maker("gone", settings, lambda: None)
    with pytest.raises(BadInput, match=r"^model 'gpt-4o' needs a key: set OPENAI_API_KEY"):
        registry.require("gpt-4o", read({}))


def test_without_the_package_that_is_said_before_anything_is_asked(own, monkeypatch):
    # Given a machine without the SDK
    monkeypatch.setattr(registry, "SDK", "no_such_package")

    # Then what it would answer is refused with the command that installs it
    with pytest.raises(BadInput, match=r"pip install 'penstock\[openai\]'"):
        registry.require("local:llama3", own)
    with pytest.raises(Unavailable, match=r"pip install 'penstock\[openai\]'"):
        factory.client_maker("ollama", own, lambda: None)
    assert [row.name for row in registry.ready(own)] == ["simulated"]


def test_the_usual_one_has_variables_of_its_own():
    usual = read({"OPENAI_API_KEY": "sk", "OPENAI_BASE_URL": "http://127.0.0.1:8000/"}).endpoints[-1]
    assert (usual.name, usual.base_url, usual.key_value) == ("openai", "http://127.0.0.1:8000/v1", "sk")
    assert usual.assumed_requests_per_minute is None  # nobody knows of another server's
    assert read({}).endpoints[-1].assumed_requests_per_minute == 500
    with pytest.raises(BadSetting, match=r"OPENAI_BASE_URL.*a user, a query or a fragment"):
        read({"OPENAI_BASE_URL": "http://user:secret@x"})


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("https://api.openai.com", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("http://[::1]:8080", "http://[::1]:8080/v1"),
        ("https://api.groq.com/openai", "https://api.groq.com/openai/v1"),
        ("https://x/v1beta/openai/", "https://x/v1beta/openai"),
        ("http://x/v1/chat/completions", "http://x/v1"),
    ],
)
def test_an_address_has_one_version(url, root):
    assert versioned(url) == root


ROW = '[[endpoint]]\nname = "x"\nbase_url = "http://x"\nmodels = ["x*"]\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "[[endpoint]] tables"),
        ("x = 1\n" + ROW, "[[endpoint]] tables"),
        ("[[endpoint]", "line 1"),
        (ROW + ROW, "endpoint 'x' is there twice"),
        (ROW.replace('"x"', '"anthropic"'), "endpoint 1: name is 'anthropic'"),
        (ROW.replace('"x"', '"X y"'), "endpoint 1: name is 'X y'"),
        (ROW + "rpm = 5", "endpoint 'x': 'rpm' is not known: known are assumed_requests_per_minute"),
        (ROW + "requests_per_minute = 0", "endpoint 'x': requests_per_minute is 0"),
        (ROW + 'bills = "no"', "endpoint 'x': bills is 'no'"),
        (ROW + 'prefix = "y:"', "endpoint 'x': models has 'x*'"),
        (ROW.replace("http://x", "ftp://x"), "endpoint 'x': base_url is 'ftp://x'"),
        (ROW.replace('["x*"]', '"x*"'), "endpoint 'x': models is 'x*'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_by_its_place(tmp_path, text, says):
    with pytest.raises(BadSetting) as refused:
        with_file(tmp_path, text)
    assert "PENSTOCK_PROVIDERS_FILE" in str(refused.value)
    assert says in str(refused.value)


def test_a_key_in_the_place_of_its_variable_is_refused_and_not_shown(tmp_path):
    with pytest.raises(BadSetting) as refused:
        with_file(tmp_path, ROW + 'key = "sk-proj-secret-key"')
    assert "not the name of a variable" in str(refused.value)
    assert "secret" not in str(refused.value)
