"""An environment that cannot be built fails its tests, and says why; it is never skipped."""

import pytest

from tests.clients.support import environments

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def _nothing_built_yet(monkeypatch, tmp_path):
    monkeypatch.setattr(environments, "BUILT", tmp_path)
    for name in ("UV_CACHE_DIR", "npm_config_cache"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))


def test_a_registry_that_is_not_reached_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(RuntimeError, match="is their registry reached from here"):
        environments.python("anthropic")

    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    with pytest.raises(RuntimeError, match="is their registry reached from here"):
        environments.node()
    assert not list(tmp_path.rglob(".is-installed"))


def test_without_the_tool_that_builds_them_the_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(environments, "UV", environments.ROOT / "build" / "nothing")
    with pytest.raises(RuntimeError, match="run `make clients`"):
        environments.python("anthropic")


def test_an_environment_is_built_once_and_again_when_its_pins_change(monkeypatch, tmp_path):
    pins = tmp_path / "pins"
    pins.mkdir()
    monkeypatch.setattr(environments, "PINS", pins)
    (pins / "small.txt").write_text("typing-extensions==4.15.0\n")
    first = environments.python("small")
    assert environments.python("small") == first
    assert first.exists()

    (pins / "small.txt").write_text("# without a package\n")

    second = environments.python("small")
    assert (second != first, second.exists(), first.exists()) == (True, True, False)
