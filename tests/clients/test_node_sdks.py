"""The SDKs of Anthropic and OpenAI for TypeScript, and the AI SDK over both APIs, under Node."""

import pytest

from tests.support.lost_answers import lossy_proxy

pytestmark = pytest.mark.long

CLASSES = {
    "400": "BadRequestError",
    "401": "AuthenticationError",
    "403": "PermissionDeniedError",
    "404": "NotFoundError",
    "409": "ConflictError",
    "422": "UnprocessableEntityError",
    "500": "InternalServerError",
    "timeout": "APIConnectionTimeoutError",
    "nobody there": "APIConnectionError",
}
TOO_LARGE = {"anthropic_sdk": "ContentTooLargeError", "openai_sdk": "APIError"}


def run(house, script):
    keys = house.tenant(READER=["jobs:read"])
    with lossy_proxy(house.web.port) as proxy:
        proxy.to_lose = 1
        found = house.node(script, LOSSY=proxy.url, **keys)
        assert proxy.lost == 1
    return found


@pytest.fixture(scope="module")
def claude(house):
    return run(house, "anthropic_sdk")


@pytest.fixture(scope="module")
def gpt(house):
    return run(house, "openai_sdk")


@pytest.fixture(scope="module")
def ai(house):
    return house.node("ai_sdk", **house.tenant())


@pytest.fixture(params=["anthropic_sdk", "openai_sdk"])
def either(request, claude, gpt):
    return request.param, {"anthropic_sdk": claude, "openai_sdk": gpt}[request.param]


def by_id(lines):
    return {line["custom_id"]: line for line in lines}


def test_every_object_is_what_the_sdk_declares(either):
    _, seen = either
    assert seen["misfits"] == ""


def test_every_kind_of_failure_is_the_error_that_the_sdk_has_for_it(either):
    script, seen = either
    classes = CLASSES | {"413": TOO_LARGE[script]}

    assert {name: one["class"] for name, one in seen["refusals"].items()} == classes
    for name, one in seen["refusals"].items():
        if name.isdigit():
            assert (one["status"], bool(one["request_id"]), bool(one["type"])) == (int(name), True, True)


def test_a_create_whose_answer_is_lost_makes_one_batch_and_two_deliberate_ones_make_two(either):
    _, seen = either
    assert seen["lost"] == {"by_the_lost_one": 1, "by_both": 2}


def test_message_batches_are_followed_and_cancelled_and_deleted(claude):
    none = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    cancelled = claude["cancelled"]

    assert claude["made"]["processing_status"] == "in_progress"
    assert claude["ended"]["request_counts"] == none | {"succeeded": 2, "errored": 1}
    assert [one["custom_id"] for one in cancelled["while_running"]] == ["x"]
    assert cancelled["answer"]["cancel_initiated_at"] is not None
    assert cancelled["ended"]["request_counts"] == none | {"succeeded": 1, "canceled": 1}
    results = {name: one["result"]["type"] for name, one in by_id(cancelled["results"]).items()}
    assert results == {"x": "succeeded", "y": "canceled"}
    assert claude["deleted"] == {"id": claude["made"]["id"], "type": "message_batch_deleted"}


def test_message_batches_are_paged_in_both_directions(claude):
    pages = claude["pages"]
    newest_first = pages["made"][::-1]

    assert pages["onwards"][:5] == newest_first
    assert len(pages["onwards"]) == len(set(pages["onwards"]))
    assert pages["backwards"] == [newest_first[at] for at in (2, 3, 0, 1)]


def test_single_messages_are_answered_streamed_and_counted(claude):
    assert claude["message"]["content"][0]["text"].endswith("to: Why is the sky blue?")
    assert claude["final"]["content"][0]["text"] == claude["streamed"] != ""
    assert claude["counted"]["input_tokens"] > 0
    assert claude["models"]


def test_files_become_batches_that_are_followed_and_cancelled(gpt):
    cancelled = gpt["cancelled"]

    assert gpt["ended"]["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert set(by_id(gpt["output"])) == {"a", "c"}
    assert by_id(gpt["errors"])["b"]["response"]["status_code"] == 400
    assert [line["custom_id"] for line in cancelled["while_running"]] == ["x"]
    assert cancelled["answer"]["status"] in ("cancelling", "cancelled")
    assert cancelled["ended"]["status"] == "cancelled"
    assert cancelled["output"] == cancelled["while_running"]
    assert [line["error"]["code"] for line in cancelled["errors"]] == ["batch_cancelled"]
    assert [error["line"] for error in gpt["invalid"]["errors"]["data"]] == [2, 3]


def test_batches_and_files_are_paged_and_files_deleted(gpt):
    pages = gpt["pages"]

    assert pages["onwards"][:5] == pages["made"][::-1]
    assert len(pages["onwards"]) == len(set(pages["onwards"]))
    assert pages["files"][0] == gpt["file"]["id"]
    assert pages["files"][-1] == gpt["deleted"]["id"]
    assert gpt["deleted"]["deleted"] is True


def test_single_calls_of_openais_api_are_answered_and_streamed(gpt):
    for chat in gpt["chats"].values():
        assert chat["told"].endswith("to: Why is the sky blue?")
        assert chat["streamed"].endswith("to: Why?")
    assert gpt["response"].endswith("to: Why is the sky blue?")
    assert gpt["vectors"] == 2
    assert set(gpt["chats"]) <= set(gpt["models"])


def test_webhook_endpoints_are_managed(gpt):
    hooks = gpt["hooks"]

    assert hooks["listed"] == [hooks["made"]["id"]] == [hooks["deleted"]["id"]]
    assert hooks["rotated"]["signing_secret"] != hooks["made"]["signing_secret"]


def test_the_ai_sdk_generates_and_streams_text_over_both_apis(ai):
    assert set(ai["models"]) == {"responses", "chat", "claude by chat", "messages"}
    for name, seen in ai["models"].items():
        for text in (seen["text"], seen["streamed"]):
            assert text.endswith("to: Why is the sky blue?"), name
        assert seen["finish"] == ["stop", "stop"]
        whole, streamed = seen["usage"]
        assert whole["outputTokens"] == streamed["outputTokens"] > 0
        assert whole["inputTokens"] == streamed["inputTokens"] > 0


def test_the_ai_sdk_embeds_and_knows_a_refusal(ai):
    assert ai["vectors"] == [2, 2, 2]
    for refused in ai["refusals"].values():
        assert (refused["isCall"], refused["status"]) == (True, 400)
