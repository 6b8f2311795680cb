"""The quote, beside the real bill."""

import csv
import io
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.front_door import JOBS, Door
from tests.support.servers import wait_until

pytestmark = pytest.mark.one_database

REVIEWS = Path(__file__).parents[2] / "examples" / "reviews.csv"
ASKED = {
    "model": "claude-haiku-4-5",
    "template": "Summarise in a sentence: {{ review }}",
    "max_tokens": "400",
}


@pytest.fixture
def claude(running, upstream):
    """A caller of a stack that asks the upstream as Claude."""
    return Door("quoted")


def first_rows(count: int) -> bytes:
    with REVIEWS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[: count + 1]
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def quote(door: Door, content: bytes) -> dict:
    answered = door.upload("reviews.csv", content, path=f"{JOBS}/estimate", **ASKED)
    assert answered.status_code == 200, answered.text
    return answered.get_json()


def bill(door: Door, content: bytes) -> Decimal:
    job = door.upload("reviews.csv", content, **ASKED).get_json()
    wait_until(lambda: door.job(job)["status"] == "completed", seconds=60, what="the job is done")
    return Decimal(door.job(job)["cost"])


def test_the_likely_cost_of_the_example_is_within_15_percent_of_its_bill(claude):
    # Given answers for the first thirty rows
    bill(claude, first_rows(30))

    # When all of them are quoted, then asked
    told = quote(claude, REVIEWS.read_bytes())
    real = bill(claude, REVIEWS.read_bytes())

    # Then the likely cost is about the bill, and the bill lies within the quote
    assert told["basis"]["calibrated"]
    assert told["records"] == 298
    assert abs(Decimal(told["cost"]["likely"]) - real) <= real * Decimal("0.15")
    assert Decimal(told["cost"]["low"]) <= real <= Decimal(told["cost"]["high"])


def test_a_quote_without_any_answers_says_so_and_holds_the_bill(claude):
    door = Door("new here")
    told = quote(door, first_rows(40))
    real = bill(door, first_rows(40))

    assert not told["basis"]["calibrated"]
    assert Decimal(told["cost"]["low"]) <= real <= Decimal(told["cost"]["high"])
