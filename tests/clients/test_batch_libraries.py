"""Libraries that make batches for their users: instructor, LiteLLM, inspect-ai, any-llm and Curator."""

import pytest

from tests.clients.support.house import OUTSIDE

pytestmark = pytest.mark.long

BOTH = ["openai", "anthropic"]
MODELS = {"openai": "openai/gpt-5-mini", "anthropic": "anthropic/claude-haiku-4-5"}


def run(house, client, script):
    found = house.python(client, script, **house.tenant())
    assert house.wanted == OUTSIDE.get(client, set())
    return found


@pytest.fixture(scope="module")
def instructor(house):
    return run(house, "instructor", "instructor_batch")


@pytest.fixture(scope="module")
def litellm(house):
    return run(house, "litellm", "litellm_batch")


@pytest.fixture(scope="module")
def inspect_ai(house):
    return run(house, "inspect-ai", "inspect_ai_batch")


@pytest.fixture(scope="module")
def any_llm(house):
    return run(house, "any-llm", "any_llm_batch")


@pytest.fixture(scope="module")
def curator(house):
    return run(house, "curator", "curator_batch")


def told(line):
    return line["response"]["body"]["choices"][0]["message"]["content"]


@pytest.mark.parametrize("provider", BOTH)
def test_instructor_gets_structured_answers(instructor, provider):
    seen = instructor[provider]

    assert seen["status"] in ("completed", "ended")
    assert list(seen["results"]) == ["request-0", "request-1", "request-2"]
    for one in seen["results"].values():
        assert one["success"] is True
        assert set(one["result"]) == {"sentiment", "stars"}
    assert seen["listed"][seen["id"]] == "completed"


def test_instructor_reads_true_counts(instructor):
    assert instructor["openai"]["counts"] == {"total": 3, "completed": 3, "failed": 0}
    assert instructor["anthropic"]["counts"]["succeeded"] == 3


def test_litellm_makes_and_reads_batches(litellm):
    ended = litellm["ended"]

    assert (ended["id"], ended["status"]) == (litellm["made"]["id"], "completed")
    assert ended["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert ended["metadata"] == {"team": "x"}
    assert {name: told(line).partition("to: ")[2] for name, line in litellm["output"].items()} == {
        "a": "One?",
        "c": "Three?",
    }
    assert litellm["errors"]["b"]["response"]["status_code"] == 400
    assert litellm["cancelled"] == "cancelled"
    assert litellm["made"]["id"] in litellm["listed"]
    assert litellm["file"] == [ended["input_file_id"], litellm["file"][1]]
    assert litellm["deleted"] is True


def test_litellm_completes_over_both_apis_and_embeds(litellm):
    assert set(litellm["told"]) == set(MODELS.values())
    assert all(text.endswith("to: Why is the sky blue?") for text in litellm["told"].values())
    assert litellm["vectors"] == 2


@pytest.mark.parametrize("provider", BOTH)
def test_inspect_ai_evaluates_in_batches(inspect_ai, provider):
    seen = inspect_ai[MODELS[provider]]

    assert (seen["status"], seen["accuracy"]) == ("success", 1.0)
    endings = [answer.partition("to: ")[2] for answer in seen["answers"]]
    assert endings == [f"Question {number}?" for number in range(4)]
    assert seen["tokens"][MODELS[provider]] > 0


@pytest.mark.parametrize("provider", BOTH)
def test_any_llm_makes_reads_lists_and_cancels_batches(any_llm, provider):
    seen = any_llm[provider]

    assert seen["counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert {name: text.partition("to: ")[2] for name, text in seen["told"].items()} == {
        "n-0": "One?",
        "n-2": "Three?",
    }
    assert seen["cancelled"] in ("cancelling", "cancelled")
    assert seen["made"] in seen["listed"]
    assert seen["single"].endswith("to: Why?")


def test_any_llm_tells_the_refusal_of_a_record(any_llm):
    # Of OpenAI's batches it reads the output file alone.
    assert any_llm["anthropic"]["errors"] == {"n-1": "invalid_request_error"}


@pytest.mark.parametrize("provider", BOTH)
def test_curator_answers_every_row(curator, provider):
    rows = curator[provider]["rows"]
    found = {row["question"]: row["answer"].partition("to: ")[2] for row in rows}
    assert found == {f"Question {number}?": f"Question {number}?" for number in range(3)}
