"""OpenAI's SDK for Python."""

import pytest

from tests.support.lost_answers import lossy_proxy

pytestmark = pytest.mark.long

ENDPOINTS = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/completions")
GPT, CLAUDE = "gpt-5-mini", "claude-haiku-4-5"
CLASSES = {
    "400": "BadRequestError",
    "400 of a batch": "BadRequestError",
    "400 of metadata": "BadRequestError",
    "400 of a page": "BadRequestError",
    "401": "AuthenticationError",
    "401 of a call": "AuthenticationError",
    "403": "PermissionDeniedError",
    "403 of a call": "PermissionDeniedError",
    "404": "NotFoundError",
    "404 of a file": "NotFoundError",
    "404 of a model": "NotFoundError",
    "409": "ConflictError",
    "413": "APIStatusError",  # it has no class of its own
    "413 of ours": "APIStatusError",
    "422": "UnprocessableEntityError",
    "429": "RateLimitError",
    "500": "InternalServerError",
    "503": "InternalServerError",
    "529": "InternalServerError",
    "timeout": "APITimeoutError",
    "nobody there": "APIConnectionError",
}


@pytest.fixture(scope="module")
def seen(house):
    """What the script saw; it has compared every object with its type, strictly."""
    return house.python("openai", "openai_sdk", **house.tenant())


@pytest.fixture(scope="module")
def refused(house):
    keys = house.tenant(READER=["jobs:read"])
    with lossy_proxy(house.web.port) as proxy:
        proxy.to_lose = 1
        found = house.python("openai", "openai_refusals", LOSSY=proxy.url, **keys)
        assert proxy.lost == 1
    return found


def by_id(lines):
    return {line["custom_id"]: line for line in lines}


def text(line):
    return line["response"]["body"]["choices"][0]["message"]["content"]


def test_a_batch_is_made_with_every_field_and_ends_with_true_counts(seen):
    made, ended = seen["batch"]["made"], seen["batch"]["ended"]

    assert made["unset"] == ended["unset"] == []
    assert made["status"] in ("validating", "in_progress")
    assert ended["status"] == "completed"
    assert ended["metadata"] == {"team": "x"}
    assert ended["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert ended["created_at"] <= ended["in_progress_at"] <= ended["finalizing_at"] <= ended["completed_at"]
    usage = ended["usage"]
    assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"] > 0
    assert float(ended["penstock"]["cost"]) > 0


def test_answers_and_refusals_are_in_their_files(seen):
    batch = seen["batch"]
    output, errors = by_id(batch["output"]), by_id(batch["errors"])

    assert {name: text(line).partition("to: ")[2] for name, line in output.items()} == {
        "a": "One?",
        "c": "Three?",
    }
    assert {(line["response"]["status_code"], line["error"]) for line in output.values()} == {(200, None)}
    assert list(errors) == ["b"]
    assert errors["b"]["response"]["status_code"] == 400
    assert errors["b"]["response"]["body"]["error"]["type"] == "invalid_request_error"
    assert errors["b"]["error"] is None
    file = batch["output_file"]
    assert (file["purpose"], file["unset"], file["bytes"]) == ("batch_output", [], batch["streamed"])
    assert file["expires_at"] == file["created_at"] + 3_600


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_endpoint_is_answered_in_its_own_shape(seen, endpoint):
    found = seen["endpoints"][endpoint]
    object = {"/v1/responses": "response", "/v1/embeddings": "list", "/v1/completions": "text_completion"}

    assert (found["ended"]["endpoint"], found["ended"]["status"]) == (endpoint, "completed")
    assert found["ended"]["error_file_id"] is None
    [line] = found["output"]
    assert line["response"]["body"]["object"] == object.get(endpoint, "chat.completion")


def test_claude_answers_in_this_envelope(seen):
    [message], [chat] = seen["claude"]["messages"], seen["claude"]["chat"]

    assert message["response"]["body"]["type"] == "message"
    assert text(chat).endswith("to: One?")


def test_results_are_read_while_the_batch_runs_and_cancelling_keeps_them(seen):
    cancelled = seen["cancelled"]
    ended = cancelled["ended"]

    assert cancelled["running"]["status"] == "in_progress"
    assert [line["custom_id"] for line in cancelled["while_running"]] == ["x"]
    assert cancelled["answer"]["status"] in ("cancelling", "cancelled")
    assert cancelled["answer"]["cancelling_at"] is not None
    assert ended["status"] == "cancelled"
    assert ended["cancelling_at"] <= ended["cancelled_at"]
    assert ended["request_counts"] == {"total": 2, "completed": 1, "failed": 0}
    assert cancelled["output"] == cancelled["while_running"]
    [never_run] = cancelled["errors"]
    assert (never_run["custom_id"], never_run["response"]) == ("y", None)
    assert never_run["error"]["code"] == "batch_cancelled"


def test_a_file_that_cannot_be_asked_fails_line_by_line(seen):
    batch = seen["invalid"]

    assert (batch["status"], batch["output_file_id"], batch["unset"]) == ("failed", None, [])
    assert batch["failed_at"] is not None
    found = [(error["line"], error["code"]) for error in batch["errors"]["data"]]
    assert found == [(2, "duplicate_custom_id"), (3, "invalid_json_line"), (4, "mismatched_url")]


def test_requests_may_come_with_the_call(seen):
    inline = seen["inline"]

    assert inline["ended"]["request_counts"] == {"total": 2, "completed": 2, "failed": 0}
    assert [line["custom_id"] for line in inline["input"]] == ["a", "b"]


def test_lists_are_paged(seen):
    pages, files = seen["pages"], seen["files"]
    newest_first = pages["made"][::-1]

    assert pages["first"] == newest_first[:2]
    assert pages["has_more"] is True
    assert pages["onwards"][:5] == newest_first
    assert len(pages["onwards"]) == len(set(pages["onwards"]))
    assert pages["after"] == newest_first[3:]
    assert files["newest"][:3] == [file["id"] for file in files["made"]][::-1]
    assert files["oldest"] == files["newest"][::-1]
    assert seen["batch"]["ended"]["output_file_id"] in [file["id"] for file in files["outputs"]]
    assert {(file["purpose"], *file["unset"]) for file in files["outputs"]} == {("batch_output",)}


def test_files_are_described_and_deleted(seen):
    files = seen["files"]
    made = files["made"]

    assert files["found"] == made
    for file in made:
        assert (file["purpose"], file["status"], file["unset"]) == ("batch", "processed", [])
        assert file["expires_at"] == file["created_at"] + 3_600
    assert files["processed"] == "processed"
    assert (files["deleted"]["id"], files["deleted"]["deleted"]) == (made[0]["id"], True)
    assert files["left"] == [name for name in files["newest"] if name != made[0]["id"]]


def test_single_calls_are_answered_whole_and_streamed(seen):
    calls = seen["calls"]

    for model in (GPT, CLAUDE):
        told = calls[model]["chat"]["choices"][0]["message"]["content"]
        for answer in (told, calls[model]["streamed"]):
            assert answer.endswith("to: Why is the sky blue?")
        assert calls[model]["request_id"]
    assert calls["response"].endswith("to: Why is the sky blue?")
    assert len(calls["vectors"]) == 2


def test_models_are_listed(seen):
    assert seen["models"]["one"]["id"] == GPT
    assert {GPT, CLAUDE} <= set(seen["models"]["listed"])


def test_webhook_endpoints_are_managed(seen):
    hooks = seen["webhooks"]

    assert hooks["found"]["id"] == hooks["made"]["id"] == hooks["deleted"]["id"]
    assert hooks["listed"] == [hooks["made"]["id"]]
    assert (hooks["changed"]["name"], hooks["changed"]["event_types"]) == ("ours", ["batch.failed"])
    assert hooks["rotated"]["signing_secret"] != hooks["made"]["signing_secret"]
    assert "batch.completed" in hooks["types"]
    assert hooks["deleted"]["deleted"] is True


def test_every_kind_of_failure_is_the_error_that_the_sdk_has_for_it(refused):
    refusals = refused["refusals"]

    assert {name: one["class"] for name, one in refusals.items()} == CLASSES
    for name, one in refusals.items():
        if "status" in one:
            assert one["status"] == int(name[:3])
            assert one["body"] == ["code", "message", "param", "type"]
            assert one["request_id"]
            assert one["message"]


def test_a_create_whose_answer_is_lost_makes_one_batch_and_two_deliberate_ones_make_two(refused):
    lost = refused["lost"]

    assert (lost["by_the_lost_one"], lost["by_both"]) == (1, 2)
    assert len(set(lost["ids"])) == 2
    assert len(set(lost["named"])) == 1
