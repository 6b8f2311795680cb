"""batchwizard, a command for batches of both providers that keeps a list of its own."""

import json

import pytest

pytestmark = pytest.mark.long

CHAT = "/v1/chat/completions"
REFUSED, HANGING = "Refuse this, please.", "Hang on this, please."


def asked(text, model):
    return {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": text}]}


def line_of_openai(name, text):
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": asked(text, "gpt-5-mini")}


def line_of_anthropic(name, text):
    return {"custom_id": name, "params": asked(text, "claude-haiku-4-5")}


LINES = {"openai": line_of_openai, "anthropic": line_of_anthropic}


@pytest.fixture(params=["openai", "anthropic"])
def provider(request):
    return request.param


@pytest.fixture
def wizard(house, provider):
    keys = house.tenant()

    def run(command, *arguments):
        return house.command(
            "batchwizard", "batchwizard", command, *arguments, "--provider", provider, keys=keys
        )

    return run


@pytest.fixture
def write(tmp_path, provider):
    def make(**texts):
        path = tmp_path / "asked.jsonl"
        path.write_text("".join(json.dumps(LINES[provider](*pair)) + "\n" for pair in texts.items()))
        return path

    return make


def ids(path):
    return sorted(json.loads(line)["custom_id"] for line in path.read_text().splitlines())


def test_a_file_is_processed_and_its_results_are_files(wizard, write, tmp_path):
    asked = write(a="One?", b=REFUSED, c="Three?")

    wizard("process", asked, "--output-directory", tmp_path / "results", "--check-interval", "1")

    [results] = (tmp_path / "results").glob("*_results.jsonl")
    [errors] = (tmp_path / "results").glob("*_errors.jsonl")
    assert (ids(results), ids(errors)) == (["a", "c"], ["b"])


def test_a_batch_is_submitted_listed_and_cancelled(wizard, write):
    wizard("submit", write(x=HANGING))
    [name] = {word for word in wizard("list-jobs").split() if word.startswith(("batch_", "msgbatch_"))}

    wizard("cancel", name)

    assert "cancel" in wizard("list-jobs").lower()
