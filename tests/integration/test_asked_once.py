"""On real workers: what is asked is asked once, on another day not at all, and after a try never again."""

import json

from app.core.money import reconciliation
from app.core.pipeline import lifecycle
from app.core.reading.records import snapshot
from app.services.options import Options
from models.session import in_transaction
from tests.support.invariants import INPUT, OUTPUT

HAIKU = {"model": "claude-haiku-4-5", "template": "Judge: {{ review }}"}
ONCE = {"dedupe": True, "reuse": 30}


def rows(*numbers: int):
    return [{"row": {"id": place, "review": f"review {number}"}} for place, number in enumerate(numbers)]


def test_a_sheet_is_tried_asked_once_and_tomorrow_only_for_what_is_new(running, upstream):
    # Given a sheet of sixty rows, of which twenty say what another says, tried on five
    sheet = [number % 40 for number in range(60)]
    job = running.submit(rows(*sheet), **HAIKU, options=Options(**ONCE, try_first=5)).wait_for("paused")

    # Then five calls have left, spread over the sheet, and the whole is priced
    assert len(upstream.books()) == 5
    asked = sorted(attempt.idx for attempt in job.attempts())
    assert asked[0] < 12
    assert asked[-1] > 30
    assert job.row().forecast["likely"] > job.counts().cost

    # When it goes on, then every row has its answer and nothing was asked twice
    in_transaction(
        lambda session: lifecycle.resume(session, lifecycle.find(session, running.tenant_id, job.uid))
    )
    job.wait_for("completed")
    assert job.counts().succeeded == 60
    assert len(upstream.books()) == 40
    answers = {idx: json.loads(output.body)["id"] for idx, output in job.outputs().items()}
    assert all(answers[idx] == answers[idx - 40] for idx in range(40, 60))
    billed = sum(INPUT * seen["input_tokens"] + OUTPUT * seen["output_tokens"] for seen in upstream.books())
    assert job.counts().cost == billed
    with snapshot() as session:
        assert list(reconciliation.Check(session).differences()) == []

    # And tomorrow's sheet, with four new rows of sixty, costs four calls
    upstream.reset()
    later = running.submit(rows(*sheet[:56], 100, 101, 102, 103), **HAIKU, options=Options(**ONCE))
    later.wait_for("completed")
    assert len(upstream.books()) == 4
    assert later.row().reused == 56
    assert later.row().reused_cost > 0
