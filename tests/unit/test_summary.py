"""What a slice says it has done: one line, in which failures stand first."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from app.core.money import ledger
from app.core.money.ledger import Call
from app.core.pipeline.outcomes import Outcome
from app.core.worker.reports.summary import Summary
from app.providers.client import Usage
from models.record import RecordStatus
from tasks.flower.words import Told, job

CENT = 10**10  # pico-dollars
FAILED, SUCCEEDED = RecordStatus.FAILED, RecordStatus.SUCCEEDED


def ended(status: RecordStatus | None, *, attempt: int = 1, call: Call | None = None, **more: Any) -> Outcome:
    made = Call("answered", "m", Usage(input_tokens=90, output_tokens=10), CENT) if call is None else call
    return Outcome(SimpleNamespace(), SimpleNamespace(attempt=attempt), made, status, **more)  # type: ignore[arg-type]


def unsent(status: RecordStatus | None, **more: Any) -> Outcome:
    return ended(status, call=Call("unsent", "m", cost=0), **more)


@pytest.mark.parametrize(
    ("outcomes", "line"),
    [
        ([], "nothing was left to do"),
        ([ended(SUCCEEDED)] * 1_045, "1,045 succeeded · 104,500 tokens · $10.45"),
        (
            [ended(SUCCEEDED)] * 2
            + [unsent(None)] * 3  # asked again at once
            + [unsent(FAILED, attempt=2, error_type="server_error")] * 2
            + [unsent(FAILED, attempt=2, error_type="timeout")],
            "3 of 5 failed (server_error and 1 more) · 3 retried · 200 tokens · $0.02",
        ),
        ([unsent(None, again_in=60.0)] * 5, "5 put off · 0 tokens · $0.00"),
        ([ended(SUCCEEDED, call=ledger.NO_CALL)] * 3, "3 succeeded"),
        (
            [ended(RecordStatus.CANCELLED, call=Call("unconfirmed", "m", cost=4_120_000_000))],
            "1 cancelled · 0 tokens · $0.00 · up to $0.00412 unconfirmed",
        ),
        (
            [ended(SUCCEEDED, call=Call("answered", "m", Usage(output_tokens=7), None))],
            "1 succeeded · 7 tokens · cost unknown",
        ),
    ],
)
def test_a_slice_is_told_in_one_line(outcomes, line):
    summary = Summary()
    for outcome in outcomes:
        summary.add(outcome)

    # Also when it comes from a process of its own; and as Celery shows it, without quotes
    assert str(summary) == str(Summary.from_json(json.loads(json.dumps(summary.to_json())))) == line
    assert repr(Told(summary)) == line


def test_a_job_is_shown_by_as_much_of_its_name_as_leaves_room_for_more():
    assert job("01a2", "reviews of the year.csv") == "reviews of the year… 01a2"
    assert job("01a2", "reviews of march.csv") == "reviews of march.csv 01a2"
    assert job("01a2") == "job 01a2"
