"""Anthropic's SDK for Python: the newest release, and the oldest that is supported."""

import pytest

from tests.support.lost_answers import lossy_proxy

pytestmark = pytest.mark.long

RELEASES = ["anthropic", "anthropic-oldest"]
# The class of each error, where it is the same in every release.
CLASSES = {
    "400": "BadRequestError",
    "400 of a batch": "BadRequestError",
    "401": "AuthenticationError",
    "401 of a call": "AuthenticationError",
    "403": "PermissionDeniedError",
    "403 of a call": "PermissionDeniedError",
    "404": "NotFoundError",
    "404 of a model": "NotFoundError",
    "409": "ConflictError",
    "422": "UnprocessableEntityError",
    "429": "RateLimitError",
    "500": "InternalServerError",
    "529": "OverloadedError",
    "timeout": "APITimeoutError",
    "nobody there": "APIConnectionError",
}
IN_THIS_RELEASE = {
    "anthropic": {
        "408": "RequestTimeoutError",
        "412": "PreconditionFailedError",
        "413": "ContentTooLargeError",
        "431": "RequestHeaderFieldsTooLargeError",
        "499": "ClientClosedRequestError",
        "501": "HTTPNotImplementedError",
        "503": "ServiceUnavailableError",
        "504": "GatewayTimeoutError",
    },
    # It had fewer classes.
    "anthropic-oldest": {
        **dict.fromkeys(("408", "412", "431", "499"), "APIStatusError"),
        "413": "RequestTooLargeError",
        **dict.fromkeys(("501", "503", "504"), "InternalServerError"),
    },
}


@pytest.fixture(scope="module", params=RELEASES)
def seen(house, request):
    """What the script saw; it has compared every object with its type, strictly."""
    return house.python(request.param, "anthropic_sdk", **house.tenant())


@pytest.fixture(scope="module", params=RELEASES)
def refused(house, request):
    keys = house.tenant(READER=["jobs:read"])
    with lossy_proxy(house.web.port) as proxy:
        proxy.to_lose = 1
        found = house.python(request.param, "anthropic_refusals", LOSSY=proxy.url, **keys)
        assert proxy.lost == 1
    return request.param, found


def counts(batch, **ended):
    none = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    return batch["request_counts"] == none | ended


def kinds(results):
    return {name: one["result"]["type"] for name, one in results.items()}


def test_a_batch_is_made_with_every_field_and_ends_with_true_counts(seen):
    made, ended = seen["made"], seen["ended"]

    assert made["unset"] == ended["unset"] == []
    assert (made["type"], made["processing_status"]) == ("message_batch", "in_progress")
    assert sum(made["request_counts"].values()) == 3
    assert ended["processing_status"] == "ended"
    assert counts(ended, succeeded=2, errored=1)
    assert ended["ended_at"] >= ended["created_at"]
    assert ended["penstock"]["usage"]["output_tokens"] > 0
    assert float(ended["penstock"]["cost"]) > 0


def test_every_request_has_its_result(seen):
    results = seen["results"]

    assert kinds(results) == {"a": "succeeded", "b": "errored", "c": "succeeded"}
    for name, question in (("a", "One?"), ("c", "Three?")):
        message = results[name]["result"]["message"]
        assert message["content"][0]["text"].endswith(f"to: {question}")
        assert message["usage"]["output_tokens"] > 0
    assert results["b"]["result"]["error"]["error"]["type"] == "invalid_request_error"


def test_results_are_read_while_the_batch_runs_and_cancelling_keeps_them(seen):
    cancelled = seen["cancelled"]

    assert [one["custom_id"] for one in cancelled["while_running"]] == ["x"]
    assert cancelled["undeletable"]["class"] == "BadRequestError"
    assert cancelled["answer"]["processing_status"] in ("canceling", "ended")
    assert cancelled["answer"]["cancel_initiated_at"] is not None
    assert counts(cancelled["ended"], succeeded=1, canceled=1)
    assert kinds(cancelled["results"]) == {"x": "succeeded", "y": "canceled"}


def test_lists_are_paged_in_both_directions(seen):
    pages = seen["pages"]
    newest_first = pages["made"][::-1]

    assert pages["first"] == newest_first[:2] == [pages["first_id"], pages["last_id"]]
    assert pages["has_more"] is True
    assert pages["onwards"][:5] == newest_first
    assert len(pages["onwards"]) == len(set(pages["onwards"])) == 7  # with the two that came before
    # Each page is newest first, and newer than the one before it.
    assert pages["backwards"] == [newest_first[at] for at in (2, 3, 0, 1)]
    assert pages["after"] == newest_first[3:]


def test_an_ended_batch_is_deleted(seen):
    assert (seen["deleted"]["id"], seen["deleted"]["type"]) == (seen["ended"]["id"], "message_batch_deleted")


def test_the_beta_calls_are_the_same_batches(seen):
    beta = seen["beta"]

    assert beta["made"]["unset"] == []
    assert beta["listed"] == [beta["made"]["id"]] == [beta["deleted"]]
    assert [one["result"]["type"] for one in beta["results"]] == ["succeeded"]


def test_single_calls_are_answered_whole_streamed_and_counted(seen):
    calls = seen["calls"]

    assert calls["message"]["content"][0]["text"].endswith("to: Why is the sky blue?")
    assert calls["final"]["content"][0]["text"] == calls["streamed"]
    assert calls["final"]["usage"]["output_tokens"] == calls["message"]["usage"]["output_tokens"]
    assert calls["request_id"]
    assert calls["counted"] > 0


def test_models_are_listed_and_described(seen):
    assert seen["models"]["one"]["id"] in seen["models"]["listed"]
    assert seen["models"]["one"]["type"] == "model"


def test_every_kind_of_failure_is_the_error_that_the_sdk_has_for_it(refused):
    release, found = refused
    refusals = found["refusals"]
    own = IN_THIS_RELEASE[release]

    expected = CLASSES | own | {"413 of ours": own["413"]}
    assert {name: one["class"] for name, one in refusals.items()} == expected
    for name, one in refusals.items():
        if "status" in one:
            assert one["status"] == int(name[:3])
            assert one["request_id"]
            assert one["message"]


def test_a_create_whose_answer_is_lost_makes_one_batch_and_two_deliberate_ones_make_two(refused):
    _, found = refused
    lost = found["lost"]

    assert (lost["by_the_lost_one"], lost["by_both"]) == (1, 2)
    assert len(set(lost["ids"])) == 2
    assert len(set(found["found"])) == 1
