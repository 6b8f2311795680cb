"""The provider hangs, drips, cuts or answers with something else: each call has an end, paid or said."""

from collections import Counter

import pytest

from app.services.options import Options
from tests.support.servers import wait_until

pytestmark = pytest.mark.timeout(600)

LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("hang", "timeout"),
        pytest.param("drip", "timeout", marks=LONG),
        pytest.param("cut_before", "connection_cut", marks=LONG),
        ("cut", "connection_cut"),
        pytest.param("cut_midway", "connection_cut", marks=LONG),
        pytest.param("html", "wrong_address", marks=LONG),
        ("half_json", "bad_answer"),
    ],
)
def test_a_call_without_an_answer_is_closed_counted_and_made_again(fresh, figures, kind, error):
    # Given a provider of which every fifth request goes wrong once
    fresh.upstream.configure(latency_ms=50, faults=[{"kind": kind, "share": 0.2, "first_of_each": 1}])

    # When a job is asked, whose calls may take a second where none would end
    job = fresh.ask(60, timeout=1 if error == "timeout" else 30, options=Options(retries=1))
    books = fresh.finish(job)
    figures.note(f"the provider: {kind}", books)

    # Then each such call stands as unconfirmed, and none is still open at the provider
    calls = Counter((attempt.outcome, attempt.error_type) for attempt in job.attempts())
    assert calls.keys() == {("answered", None), ("unconfirmed", error)}
    wait_until(lambda: fresh.upstream.summary()["in_flight"] == 0, what="every connection is closed")
    if error == "timeout":
        given_up = [seen for seen in fresh.upstream.books() if seen["disconnected"]]
        assert 0 < len(given_up) <= books.unconfirmed  # one more may be answered just as its time is over
