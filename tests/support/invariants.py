"""Whether a Penstock and its provider tell one story: the invariants, against the provider's own books."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import func, select

from app.core.money import reconciliation
from app.core.reading.records import snapshot
from models import Attempt, Job, JobCounts, Record, RecordInput, RecordOutput, RecordStatus
from models.job import FINAL
from models.session import reading
from tests.support.stack import Running
from tests.support.upstream import Upstream

# Of claude-haiku-4-5, as the provider's price list says: pico-dollars a token. Not from our own list.
INPUT, OUTPUT = 1_000_000, 5_000_000
ENDED = {RecordStatus.SUCCEEDED, RecordStatus.FAILED, RecordStatus.CANCELLED, RecordStatus.EXPIRED}


class Reconciled:
    """Every job of a test beside every request that arrived. Raises `AssertionError` where they differ.

    The prompts of a test must differ from one another, and all jobs that asked the provider since its last
    reset must be named.
    """

    def __init__(self, jobs: Iterable[Running], upstream: Upstream) -> None:
        self.jobs = list(jobs)
        self.asked_twice = 0  # records that have two answers, both paid
        self.unconfirmed = 0  # calls whose outcome nobody knows
        for job in self.jobs:
            _has_ended_once(job)
        ours = [job.id for job in self.jobs]
        with snapshot() as session:  # late answers may still be coming in
            attempts = session.scalars(select(Attempt).where(Attempt.job_id.in_(ours))).all()
            self._counts = session.scalars(select(JobCounts).where(JobCounts.job_id.in_(ours))).all()
            assert list(reconciliation.Check(session).differences()) == []
        self.entries = {seen["request_id"]: seen for seen in upstream.books()}
        self._agrees(attempts)

    def _agrees(self, attempts: Sequence[Attempt]) -> None:
        answered = {a.request_id: a for a in attempts if a.outcome == "answered" and a.error_type is None}
        refused = {a.request_id for a in attempts if a.outcome == "answered"} - answered.keys()
        for request_id, attempt in answered.items():
            assert request_id in self.entries, f"{_name(attempt)} was answered by nobody: {request_id}"
            _equal_to_the_last_digit(attempt, self.entries[request_id])
        known = answered.keys() | refused
        silent = [seen for seen in self.entries.values() if seen["request_id"] not in known]
        self._stand_as_unconfirmed(silent, attempts)
        self._bracket_the_bill(attempts)
        asked = Counter((attempt.job_id, attempt.idx) for attempt in answered.values())
        self.asked_twice = sum(1 for count in asked.values() if count > 1)

    def _stand_as_unconfirmed(self, silent: Sequence[dict[str, Any]], attempts: Sequence[Attempt]) -> None:
        """Each request whose answer nobody has is an unconfirmed attempt of the record that it asked."""
        records = {text: key for job in self.jobs for text, key in texts(job).items()}
        arrived = Counter(records[seen["text"]] for seen in silent)
        unconfirmed = Counter((a.job_id, a.idx) for a in attempts if a.outcome == "unconfirmed")
        self.unconfirmed = unconfirmed.total()
        missing = {key: count for key, count in arrived.items() if count > unconfirmed[key]}
        assert not missing, f"requests that no attempt speaks of, by (job, index): {missing}"

    def _bracket_the_bill(self, attempts: Sequence[Attempt]) -> None:
        by_job: dict[int, dict[str, int]] = defaultdict(
            lambda: {"answered": 0, "unconfirmed": 0, "unsent": 0}
        )
        for attempt in attempts:
            by_job[attempt.job_id][attempt.outcome] += attempt.cost or 0
        for counts in self._counts:
            sums = by_job[counts.job_id]
            assert (counts.cost, counts.cost_unconfirmed) == (sums["answered"], sums["unconfirmed"])
        bill = sum(cost(seen) for seen in self.entries.values())
        certain = sum(sums["answered"] for sums in by_job.values())
        worst = certain + sum(sums["unconfirmed"] for sums in by_job.values())
        assert certain <= bill <= worst, f"the bill of {bill} is not between {certain} and {worst}"


def texts(job: Running) -> dict[str, tuple[int, int]]:
    """What each record of a job asks, as the provider's books show it."""
    with reading() as session:
        rows = session.execute(
            select(RecordInput.idx, RecordInput.body).where(RecordInput.job_id == job.id)
        ).all()
    return {json.loads(row.body)["prompt"][:500]: (job.id, row.idx) for row in rows}


def cost(seen: dict[str, Any]) -> int:
    """What the provider bills for a request, in pico-dollars."""
    return int(seen["input_tokens"] * INPUT + seen["output_tokens"] * OUTPUT)


def _has_ended_once(job: Running) -> None:
    """The job is over, and each of its records has one end and one place in the order of completion."""
    with reading() as session:
        row, counts = session.get_one(Job, job.id), session.get_one(JobCounts, job.id)
        statuses = Counter(session.scalars(select(Record.status).where(Record.job_id == job.id)))
        seqs = session.scalars(
            select(RecordOutput.seq).where(RecordOutput.job_id == job.id).order_by(RecordOutput.seq)
        ).all()
        reasons = Counter(
            session.scalars(
                select(RecordOutput.stop_reason).where(
                    RecordOutput.job_id == job.id, RecordOutput.stop_reason.is_not(None)
                )
            )
        )
        last = session.scalar(select(func.max(RecordOutput.seq)).where(RecordOutput.job_id == job.id))
    assert row.status in FINAL, f"job {job.id} is {row.status}"
    ended = counts.succeeded + counts.failed + counts.cancelled + counts.expired
    assert (ended, statuses.total()) == (row.total, row.total)
    if row.closed_as is None or row.settled_at is not None:
        assert statuses.keys() <= ENDED, statuses
    assert (counts.stop_reasons or {}) == reasons
    assert len(set(seqs)) == len(seqs)
    assert (last or 0) <= counts.seq


def _equal_to_the_last_digit(attempt: Attempt, seen: dict[str, Any]) -> None:
    ours = (attempt.input_tokens, attempt.output_tokens, attempt.cost)
    theirs = (seen["input_tokens"], seen["output_tokens"], cost(seen))
    assert ours == theirs, f"{_name(attempt)}, {attempt.request_id}: we have {ours}, the provider {theirs}"


def _name(attempt: Attempt) -> str:
    return f"attempt {attempt.attempt} of record {attempt.idx} of job {attempt.job_id}"
