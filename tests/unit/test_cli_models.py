"""`penstock models`, without a stack and without a key."""

import json
import os
import subprocess
import sys

from config import price_list


def penstock(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        env=os.environ | {"PENSTOCK_URL": "", "ANTHROPIC_API_KEY": ""} | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_models_are_listed_with_prices_without_a_stack_and_without_a_key(tmp_path):
    ran = penstock("models", PENSTOCK_DATA=str(tmp_path / "data"))
    assert ran.returncode == 0, ran.stderr
    rows = [line.split() for line in ran.stdout.splitlines()]
    assert ["claude-haiku-5-5", "$0.10", "$0.50", "$0.01", "1,000,000", "no"] in rows
    assert "when the prompt is over 100,000 tokens" in ran.stdout
    assert "ANTHROPIC_API_KEY is not set" in ran.stdout
    assert not (tmp_path / "data").exists()


def test_as_json_they_say_what_the_contract_says(tmp_path):
    ran = penstock("models", "--json", ANTHROPIC_API_KEY="sk-test", DEFAULT_MODEL="claude-opus-9")
    found = {model["name"]: model for model in json.loads(ran.stdout)}
    assert found["claude-opus-9"] == {
        "name": "claude-opus-9",
        "provider": "anthropic",
        "default": True,
        "available": True,
        "why_not": None,
        "context": None,
        "price": None,
    }
    assert set(found) >= set(price_list.models()) - {"inference", "unbilled"}
