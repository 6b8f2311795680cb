"""What only the client of an inference server promises: literal dynamic batching, and a failure for each."""

import asyncio
import json
import time
from typing import Any

import pytest

from app import errors
from app.providers.client import Reply
from app.providers.inference.batching import Batching
from tests.support.provider_subjects import Inference
from tests.support.servers import wait_until


def outputs(replies: list[Reply | BaseException]) -> list[Any]:
    """What each item got; for a failure its type."""
    return [
        json.loads(reply.body)["output"] if isinstance(reply, Reply) else type(reply) for reply in replies
    ]


def test_items_that_are_asked_together_go_in_one_call_and_each_gets_its_row(inference: Inference) -> None:
    # When three items of one length are asked at the same time
    replies = inference.ask_all([1, 2], [3.5, 4], [5, 6])

    # Then they were one call, under one name in the ledger, and each has its row
    assert inference.server.book.sizes == [3]
    assert outputs(replies) == [[2, 4], [7, 8], [10, 12]]
    assert len({reply.request_id for reply in replies}) == 1


def test_a_call_that_is_full_leaves_at_once_and_the_rest_when_their_time_is_over(
    inference: Inference,
) -> None:
    # Given calls of four items at most that wait for others as long as it takes
    inference.batching = Batching(4, 600, True, False)

    # When ten items are asked
    started = time.monotonic()
    outputs_of_all = outputs(inference.ask_all(*([number] for number in range(10))))

    # Then two calls were full, and the last one waited its time
    assert inference.server.book.sizes == [4, 4, 2]
    assert outputs_of_all == [[2 * number] for number in range(10)]
    assert time.monotonic() - started >= 0.6


def test_without_dynamic_batching_each_item_is_a_call(inference: Inference) -> None:
    inference.batching = Batching(64, 600, False, False)
    inference.ask_all([1], [2], [3])
    assert inference.server.book.sizes == [1, 1, 1]


def test_what_is_configured_holds_for_the_next_call(inference: Inference) -> None:
    inference.batching = Batching(2, 20, True, False)
    inference.ask_all([1], [2])
    inference.batching = Batching(1, 20, True, False)
    inference.ask_all([1], [2])
    assert inference.server.book.sizes == [2, 1, 1]


def test_rows_of_unequal_length_go_in_separate_calls(inference: Inference) -> None:
    replies = inference.ask_all([1, 2], [1, 2, 3], [[1], [2]], [3, 4])
    assert sorted(call["shape"] for call in inference.server.book.calls) == [[1, 2, 1], [1, 3], [2, 2]]
    assert outputs(replies) == [[2, 4], [2, 4, 6], [[2], [4]], [6, 8]]


def test_a_text_is_a_row_too(inference: Inference) -> None:
    replies = inference.ask_all("well", "\ud83d", model="inference:loud")
    assert outputs(replies) == ["WELL", "\ud83d"]
    assert [reply.text for reply in replies] == ["WELL", "\ud83d"]


def test_how_sure_the_model_is_comes_from_the_output_of_that_name(inference: Inference) -> None:
    sure, unsure = (
        json.loads(inference.ask(model=f"inference:{model}", input=[3, 4]).body)
        for model in ("sure", "double")
    )
    assert (sure["output"], sure["confidence"]) == ([6, 8], 0.53)
    assert unsure["confidence"] is None


def test_a_failed_call_is_the_failure_of_each_of_its_items_and_counts_once(inference: Inference) -> None:
    inference.misbehave(errors.Overloaded)
    failures = inference.ask_all([1], [2], [3])
    assert [type(failure) for failure in failures] == [errors.Overloaded] * 3
    assert [failure.repeated for failure in failures] == [False, True, True]
    assert failures[0].message == "told to fail"


def test_an_item_that_spoils_a_call_fails_alone_in_the_end(inference: Inference) -> None:
    # Given an item that the server refuses, and whatever comes with it
    inference.server.book.poison = 13.0

    # When it is asked in company, nobody knows for whose sake all were refused
    first = outputs(inference.ask_all([1.0], [13.0], [2.0]))
    assert first == [errors.RefusedTogether] * 3

    # Then each is asked alone the next time, and together with others after that
    assert outputs(inference.ask_all([1.0], [13.0], [2.0])) == [[2.0], errors.RequestRejected, [4.0]]
    inference.ask_all([1.0], [2.0])
    assert inference.server.book.sizes == [3, 1, 1, 1, 2]


def test_what_the_tensor_cannot_hold_is_refused_without_a_call(inference: Inference) -> None:
    # When one of two items is text, and the model takes numbers
    good, bad = inference.ask_all([1.0, 2.0], ["one", "two"])

    # Then it alone fails
    assert outputs([good]) == [[2.0, 4.0]]
    assert isinstance(bad, errors.RequestRejected)
    assert bad.type == "invalid_input"
    assert "'x' is FP32" in bad.message
    assert inference.server.book.sizes == [1]


def test_a_model_that_the_server_does_not_have_is_named(inference: Inference) -> None:
    failure = inference.refusal(model="inference:nobody")
    assert type(failure) is errors.RequestRejected
    assert failure.message == "Model nobody not found"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"cut": "midway"}, errors.ConnectionCut),
        ({"body": "{}"}, errors.BadAnswer),
        ({"body": "[1]"}, errors.BadAnswer),
        ({"body": '{"outputs":[{"name":"y","shape":[2,1],"data":[1,2]}]}'}, errors.BadAnswer),
        ({"body": '{"outputs":[{"name":"y","shape":[1,2],"data":[NaN,2]}]}'}, errors.BadAnswer),
        ({"body": "no zip", "headers": {"content-encoding": "gzip"}}, errors.BadAnswer),
        ({"body": '{"error":{"code":429,"message":"slow"}}'}, errors.RateLimited),
        ({"body": '{"error":"no such model"}'}, errors.ServerFault),
        ({"status": 307, "headers": {"location": "/v2"}}, errors.Misdirected),
    ],
)
def test_a_broken_answer_of_a_model_is_told_by_how_it_broke(
    inference: Inference, fault: dict[str, Any], kind: type[errors.ProviderError]
) -> None:
    inference.server.book.fault = fault
    failure = inference.refusal()
    assert type(failure) is kind
    assert len(inference.server.book.calls) == 1


def test_a_call_goes_on_until_nobody_waits_for_it(inference: Inference) -> None:
    # Given two items in one call that takes its time
    inference.slow_down(1.0)

    async def cancel(count: int) -> list[Any]:
        asking = [
            asyncio.create_task(inference.client.ask(inference.request(), deadline=30, attempt=1))
            for _ in range(2)
        ]
        while not inference.server.book.calls:
            await asyncio.sleep(0.01)
        for one in asking[:count]:
            one.cancel()
        return await asyncio.gather(*asking, return_exceptions=True)

    # When one of them is cancelled, the other gets its answer
    cancelled, answered = inference.runner.run(cancel(1))
    assert isinstance(cancelled, asyncio.CancelledError)
    assert json.loads(answered.body)["output"] == [2, 4]
    assert inference.server.book.disconnected == 0

    # When both are, the server sees its caller go
    inference.server.book.calls.clear()
    inference.runner.run(cancel(2))
    wait_until(lambda: inference.server.book.disconnected == 1, what="the server sees that the caller went")


def test_a_request_of_megabytes_arrives_at_a_model(inference: Inference) -> None:
    reply = inference.ask(model="inference:loud", input="a" * 3_000_000)
    assert reply.text == "A" * 3_000_000
