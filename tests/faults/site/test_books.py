"""Money under faults: what was answered agrees with the provider's books, and nothing else is hidden."""

from collections import Counter

from app.services.options import Options
from tests.faults.support.breakable_stack import held_by, lease_of, process
from tests.support.servers import wait_until
from tests.support.stack import Running

# One call in ten goes wrong: refused, cut before its answer or within, answered by half, not answered at all.
FAULTS = [
    {"kind": "status", "status": 500, "share": 0.025},
    {"kind": "cut", "share": 0.02},
    {"kind": "cut_midway", "share": 0.02},
    {"kind": "half_json", "share": 0.02},
    {"kind": "hang", "share": 0.015},
]


def test_a_thousand_calls_with_faults_and_a_kill_agree_with_the_providers_books(fresh, figures):
    # Given a thousand records of which one call in ten fails, each in its own way
    fresh.upstream.configure(
        latency_ms=700, latency_sigma=0.4, faults=[f | {"first_of_each": 1} for f in FAULTS]
    )
    job = fresh.ask(1000, timeout=3, options=Options(retries=8))
    job.wait_until_ended(300)

    # When one of two workers is killed with calls in flight
    victim = process(fresh.slices[0])
    lease = lease_of(victim.pid)
    wait_until(lambda: held_by(lease, job), what="the victim holds records")
    victim.kill()
    victim.wait()
    held = held_by(lease, job)
    job.wait_for("completed", seconds=180)

    # Then every call stands in the books of both, to the last digit, or as unconfirmed in ours
    books = fresh.reconcile(job)
    figures.note("a tenth of the calls fail, and a worker is killed", books)
    assert job.statuses() == {"succeeded": 1000}
    assert books.asked_twice == 0
    outcomes = _outcomes(job)
    assert outcomes["answered", None] == 1000
    assert outcomes["unconfirmed", "process_died"] >= len(held) > 0
    assert (
        60 < sum(count for (_, error), count in outcomes.items() if error not in (None, "process_died")) < 160
    )


def _outcomes(job: Running) -> Counter[tuple[str, str | None]]:
    return Counter((attempt.outcome, attempt.error_type) for attempt in job.attempts())
