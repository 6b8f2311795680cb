"""The quote against the real bill: what the upstream counted for the same file."""

import csv
import io
from decimal import Decimal

import pytest

from tests.support.front_door import Door
from tests.support.quote_client import EXAMPLES, QUESTIONS, Buyer, first_lines

pytestmark = pytest.mark.one_database

REVIEWS = (EXAMPLES / "reviews.csv").read_bytes()
TEMPLATE = (
    "<review>{{ review }}</review> In one short English sentence: what does this customer like or dislike?"
)


def first_rows(content: bytes, count: int) -> bytes:
    rows = list(csv.reader(io.StringIO(content.decode())))[: count + 1]
    to = io.StringIO()
    csv.writer(to).writerows(rows)
    return to.getvalue().encode()


# A file, its beginning, and the fields that go with it.
EXAMPLE_FILES = [
    pytest.param("reviews.csv", REVIEWS, first_rows(REVIEWS, 30), {"template": TEMPLATE}, id="reviews.csv"),
    pytest.param("questions.jsonl", QUESTIONS, first_lines(QUESTIONS, 30), {}, id="questions.jsonl"),
]


@pytest.fixture
def buyer(running, upstream, request):
    """A tenant of this test's own, without history."""
    return Buyer(Door(tenant=request.node.name[:200]))


@pytest.mark.parametrize(("name", "whole", "beginning", "fields"), EXAMPLE_FILES)
def test_after_thirty_rows_the_likely_cost_is_within_15_percent_of_the_real_bill(
    buyer, upstream, name, whole, beginning, fields
):
    # Given the first rows, answered
    asked = buyer.buy(name, beginning, **fields)
    # When
    quote = buyer.estimate(name, whole, **fields)
    upstream.reset()
    bill = buyer.buy(name, whole, **fields)
    # Then each figure is near what the upstream counted
    summary = upstream.summary()
    cost, paid = quote["cost"], Decimal(bill["cost"])
    assert quote["basis"]["by"] == "same_request"
    assert quote["basis"]["job"] == asked["id"]
    assert quote["basis"]["answers"] == 30
    assert quote["records"] == bill["total"]
    assert abs(Decimal(cost["likely"]) / paid - 1) < Decimal("0.15")
    assert Decimal(cost["low"]) <= paid <= Decimal(cost["high"])
    assert abs(quote["input_tokens"]["likely"] / summary["input_tokens"] - 1) < 0.15
    assert abs(quote["output_tokens"]["likely"] / summary["output_tokens"] - 1) < 0.15


@pytest.mark.parametrize(("name", "whole", "beginning", "fields"), EXAMPLE_FILES)
def test_a_quote_without_history_holds_the_real_bill_between_its_ends_and_says_that_it_guesses(
    buyer, name, whole, beginning, fields
):
    # When
    quote = buyer.estimate(name, whole, **fields)
    bill = buyer.buy(name, whole, **fields)
    # Then
    assert quote["basis"]["calibrated"] is False
    assert "not calibrated" in quote["basis"]["text"]
    assert Decimal(quote["cost"]["low"]) <= Decimal(bill["cost"]) <= Decimal(quote["cost"]["high"])
    tokens = quote["input_tokens"]
    assert tokens["low"] <= bill["usage"]["input_tokens"] <= tokens["high"]


def test_another_request_of_the_model_calibrates_tokens_and_not_the_longest_answer(buyer):
    # Given
    buyer.buy("questions.jsonl", first_lines(QUESTIONS, 30))
    # When
    quote = buyer.estimate("reviews.csv", REVIEWS, template=TEMPLATE, max_tokens="500")
    # Then
    assert quote["basis"]["by"] == "same_model"
    assert quote["output_tokens"]["high"] == 298 * 500
    assert quote["output_tokens"]["likely"] < 298 * 50


def test_the_history_of_another_tenant_is_never_used(buyer):
    # Given
    other = Buyer(buyer.door.other(f"other of {buyer.door.tenant_id}"))
    other.buy("questions.jsonl", first_lines(QUESTIONS, 30))
    # When
    quote, theirs = (who.estimate("questions.jsonl", QUESTIONS) for who in (buyer, other))
    # Then
    assert theirs["basis"]["calibrated"] is True
    assert (quote["basis"]["calibrated"], quote["basis"]["answers"]) == (False, 0)


def test_a_larger_job_of_the_same_request_calibrates_rather_than_a_newer_one_of_a_few_answers(buyer):
    larger = buyer.buy("questions.jsonl", first_lines(QUESTIONS, 30))
    buyer.buy("questions.jsonl", first_lines(QUESTIONS, 3))
    assert buyer.estimate("questions.jsonl", QUESTIONS)["basis"]["job"] == larger["id"]
