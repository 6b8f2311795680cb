"""Writes the outcomes of calls in groups, one transaction each: records end, go back, or go on.

Lock order: records by index, attempts, and last `job_counts`, whose statement assigns the `seq`s.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Float, Integer, bindparam, select, update
from sqlalchemy.orm import Session

from app.core.documents import handoff
from app.core.money import ledger, spend, totals
from app.core.money.ledger import Call
from app.core.pipeline import measuring, quarantine, wakeups
from app.core.pipeline.selection import copies
from app.core.pipeline.selection.copies import Copy
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.providers.client import Usage
from models.base import any_of, counted, now
from models.bulk import ManyRows
from models.job import JobCounts
from models.record import ENDED, Record, RecordOutput, RecordStatus
from models.transitions import moving_records

# A chord's callback comes within milliseconds of its last slice. When it is lost, `advance` runs after this.
CALLBACK_GRACE = 2.0  # seconds
HOPELESS = 50  # a job whose first records all failed alike is paused after so many


@dataclass(slots=True, eq=False)
class Outcome:
    """The outcome of one call, to be written.

    `status` is the record's final status; None gives it back for `again_in` seconds, or, when that is None
    too, keeps it claimed for its next call, which leaves once this is committed.
    """

    job: JobContext
    claim: Claim
    call: Call
    status: RecordStatus | None = None
    body: bytes | None = None
    usage: Usage | None = None  # of the answer in `body`, all calls for it together; None: it does not say
    stop_reason: str | None = None  # of that answer
    value: bytes | None = None  # its JSON as the job's schema has it
    repair: str | None = None  # what made it fit the schema, if it did not at once
    error_type: str | None = None
    error_message: str | None = None
    error_status: int | None = None  # of the provider's refusal
    error_body: bytes | None = None  # JSON of that refusal
    blamed: bool = False  # the failure was the record's own fault and used one of its tries
    again_in: float | None = None
    pause: str | None = None  # why the job is to pause: further calls would end the same way

    @property
    def key(self) -> tuple[int, int]:
        return self.claim.job_id, self.claim.idx


@dataclass(slots=True)
class Written:
    """The result of writing a group: the outcomes that passed their fence, and what follows."""

    won: set[Outcome] = field(default_factory=set)
    freed: set[int] = field(default_factory=set)  # jobs with a conversation whose next turn may be asked
    hopeless: set[int] = field(default_factory=set)  # jobs whose first records all failed


class _Confirmed(NamedTuple):
    """A late answer, and the worst case that it replaces (pico-dollars) with the day of its booking."""

    outcome: Outcome
    worst: int
    day: dt.date


@dataclass(frozen=True, slots=True)
class _Change:
    """What a group actually changed in one job."""

    job: JobContext
    won: list[Outcome]
    sums: Mapping[dt.date | None, Counter[str]]  # by the day on which they are booked; None: today
    costs: Mapping[int, int | None]  # by index, of won outcomes with earlier calls: the total of all
    copies: Sequence[Copy] = ()  # records that ended with one of these
    late: Sequence[Outcome] = ()  # answers of calls that were booked as unconfirmed

    @property
    def ended(self) -> list[Outcome]:
        """Those with which their record ended."""
        return [outcome for outcome in self.won if outcome.status is not None]

    def of_copies(self) -> list[Outcome]:
        """Those with which the copies ended, one for each copy."""
        by_index = {outcome.claim.idx: outcome for outcome in self.ended}
        return [by_index[copy.copy_of] for copy in self.copies]


def write(session: Session, group: Sequence[Outcome]) -> Written:
    """Write a group of outcomes. An outcome that lost its fence only adds its cost to the ledger."""
    written = Written()
    by_job: dict[int, list[Outcome]] = defaultdict(list)
    for outcome in sorted(group, key=lambda outcome: outcome.key):
        by_job[outcome.job.job_id].append(outcome)
    for outcomes in by_job.values():
        _move_records(session, outcomes, written)
    changes = [
        _write_attempts(session, outcomes, written.won, _end_copies(session, outcomes, written.won))
        for outcomes in by_job.values()
    ]
    for change in changes:
        if change.sums:
            _count(session, change, written)
            _measure(session, change)
    return written


def _move_records(session: Session, outcomes: Sequence[Outcome], written: Written) -> None:
    """Move those records of one job that still have the lease and attempt of their outcome."""
    alike: dict[tuple[Any, ...], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        claim = outcome.claim
        alike[claim.lease_id, claim.attempt, outcome.status, outcome.again_in, outcome.blamed].append(outcome)
    for same in alike.values():
        by_index = {outcome.claim.idx: outcome for outcome in same}
        written.won.update(by_index[idx] for idx in _move(session, same[0], list(by_index)))
    for outcome in outcomes:
        if outcome in written.won and outcome.status is not None and _free_next_turn(session, outcome):
            written.freed.add(outcome.job.job_id)


# Built once: building a statement takes as long as running it for a few records.
_FENCE = (
    Record.job_id == bindparam("job"),
    any_of(Record.idx, "indices"),
    Record.lease_id == bindparam("lease"),
    Record.attempts == bindparam("attempt"),
)
_TRIES = Record.tries + bindparam("blamed", type_=Integer)
_END = {
    status: moving_records(RecordStatus.RUNNING, status, *_FENCE, tries=_TRIES, lease_id=None).returning(
        Record.idx
    )
    for status in ENDED
}
_GIVE_BACK = moving_records(
    RecordStatus.RUNNING,
    RecordStatus.WAITING,
    *_FENCE,
    tries=_TRIES,
    lease_id=None,
    not_before=quarantine.waits(bindparam("again_in", type_=Float)),
).returning(Record.idx)
_GO_ON = (
    update(Record)
    .where(*_FENCE, Record.status == RecordStatus.RUNNING)
    .values(attempts=Record.attempts + 1, tries=_TRIES, claimed_at=now())
    .returning(Record.idx)
)


def _move(session: Session, outcome: Outcome, indices: list[int]) -> Iterable[int]:
    """Apply `outcome`, which all these records of a job share; returns the indices whose fence held."""
    claim = outcome.claim
    fence = {"job": claim.job_id, "indices": indices, "lease": claim.lease_id, "attempt": claim.attempt}
    values: dict[str, Any] = {"blamed": int(outcome.blamed)}
    if outcome.status is not None:
        moving = _END[outcome.status]
    elif outcome.again_in is not None:
        moving, values["again_in"] = _GIVE_BACK, outcome.again_in
    else:
        moving = _GO_ON
    return session.connection().scalars(moving, fence | values)


def _free_next_turn(session: Session, outcome: Outcome) -> bool:
    """Let the next turn of the conversation be claimed; returns whether there is one."""
    claim = outcome.claim
    if claim.conversation is None or outcome.status in (RecordStatus.CANCELLED, RecordStatus.EXPIRED):
        return False
    following = (
        select(Record.idx)
        .where(
            Record.job_id == claim.job_id,
            Record.conversation == claim.conversation,
            Record.status == RecordStatus.BLOCKED,
        )
        .order_by(Record.idx)
        .limit(1)
        .scalar_subquery()
    )
    freed = session.scalars(
        moving_records(
            RecordStatus.BLOCKED,
            RecordStatus.WAITING,
            Record.job_id == claim.job_id,
            Record.idx == following,
            not_before=now(),
        ).returning(Record.idx)
    ).all()
    return bool(freed)


def _end_copies(session: Session, outcomes: Sequence[Outcome], won: set[Outcome]) -> Sequence[Copy]:
    """End the copies of the records of one job that have ended."""
    if not outcomes[0].job.dedupe:
        return ()
    ended = {o.claim.idx: o.status for o in outcomes if o in won and o.status and o.status in copies.SHARED}
    return copies.end(session, outcomes[0].job.job_id, ended) if ended else ()


def _write_attempts(
    session: Session, outcomes: Sequence[Outcome], all_won: set[Outcome], ended: Sequence[Copy]
) -> _Change:
    """Write the calls of one job into the ledger, and read from it what its ended records cost.

    All reads come before the lock of `job_counts`, for which others wait. A late answer committed in between
    is in the ledger but not in its record's line, like one that comes a moment later.
    """
    won = [outcome for outcome in outcomes if outcome in all_won]
    called = [outcome for outcome in won if outcome.call is not ledger.NO_CALL]
    ledger.write(session, [ledger.row(outcome.job, outcome.claim, outcome.call) for outcome in called])
    confirmed = [_confirm(session, outcome) for outcome in outcomes if outcome not in all_won]
    late = [one for one in confirmed if one is not None]
    sums = _sums(won, late)
    job = outcomes[0].job
    repeated = [
        outcome.claim.idx for outcome in won if outcome.status is not None and outcome.claim.attempt > 1
    ]
    costs = ledger.answered_costs(session, job.job_id, repeated) if repeated else {}
    return _Change(job, won, sums, costs, ended, [one.outcome for one in late])


def _confirm(session: Session, outcome: Outcome) -> _Confirmed | None:
    if outcome.call.outcome != ledger.ANSWERED:
        return None
    replaced = ledger.confirm(session, outcome.job, outcome.claim, outcome.call)
    return None if replaced is None else _Confirmed(outcome, *replaced)


def _sums(won: Sequence[Outcome], confirmed: Sequence[_Confirmed]) -> Mapping[dt.date | None, Counter[str]]:
    sums: dict[dt.date | None, Counter[str]] = defaultdict(Counter)
    for outcome in won:
        _add(sums[None], outcome.call)
    for late in confirmed:
        _add(sums[late.day], late.outcome.call)
        sums[late.day]["cost_unconfirmed"] -= late.worst
    return sums


def _add(sums: Counter[str], call: Call) -> None:
    if call.outcome == ledger.UNCONFIRMED:
        sums["cost_unconfirmed"] += call.cost or 0
        sums["usage_unknown"] += call.usage_unknown
        return
    for kind in totals.TOKENS:
        sums[kind] += getattr(call.usage, kind)
    sums["cost"] += call.cost or 0
    sums["cache_saved"] += call.cache_saved or 0
    sums["unpriced"] += call.cost is None


_KEPT = {
    "job_id",
    "stop_reasons",
    "error_types",
    "repairs",
    "wake_at",
    "due_by",
    "queued_at",
}  # the others are counters
_MOVED = [column.name for column in JobCounts.__table__.columns if column.name not in _KEPT]
_MOVE_COUNTS = (
    update(JobCounts)
    .where(JobCounts.job_id == bindparam("job"))
    .values({name: getattr(JobCounts, name) + bindparam(f"{name}_by", type_=BigInteger) for name in _MOVED})
    .values(stop_reasons=counted(JobCounts.stop_reasons, "reasons_by"))
    .values(error_types=counted(JobCounts.error_types, "errors_by"))
    .values(repairs=counted(JobCounts.repairs, "repairs_by"))
    .returning(JobCounts.seq, JobCounts.succeeded, JobCounts.failed, JobCounts.ended.label("ended"))
)


def _count(session: Session, change: _Change, written: Written) -> None:
    """Move the job's counters by what this group actually changed, and number the records that ended."""
    job, ended, of_copies = change.job, change.ended, change.of_copies()
    values: Counter[str] = Counter(seq=len(ended) + len(change.copies))
    for sums in change.sums.values():
        values.update(sums)
    for status in (outcome.status for outcome in ended):
        assert status is not None
        values[status.name.lower()] += 1
    for outcome in of_copies:
        assert outcome.status is not None
        values[outcome.status.name.lower()] += 1
        values["copied_cost"] += _cost(outcome, change.costs) or 0
    by: dict[str, Any] = {f"{name}_by": values[name] for name in _MOVED}
    whole = [*ended, *of_copies]
    by |= {
        "reasons_by": _stop_reasons(whole),
        "errors_by": _error_types(whole),
        "repairs_by": Counter(outcome.repair for outcome in whole if outcome.repair is not None),
    }
    counts = session.connection().execute(_MOVE_COUNTS, {"job": job.job_id, **by}).one()
    for day, sums in change.sums.items():
        _move_spend(session, job, sums, day)
    first_seq = counts.seq - len(whole) + 1
    _write_outputs(session, ended, change.costs, first_seq)
    if change.copies:
        copies.write(session, job.job_id, change.copies, first_seq + len(ended))
    handoff.record_ingested(
        session, job, {o.claim.idx: o.claim.body for o in ended if o.status is RecordStatus.SUCCEEDED}
    )
    _wake(session, job.job_id, change.won, written)
    if counts.ended >= job.total or len(change.copies) == copies.AT_ONCE:
        wakeups.at_latest(session, job.job_id, CALLBACK_GRACE)
    if counts.succeeded == 0 and counts.failed >= HOPELESS and job.total > 2 * HOPELESS:
        written.hopeless.add(job.job_id)


def _measure(session: Session, change: _Change) -> None:
    calls = [outcome.call for outcome in (*change.won, *change.late)]
    measuring.calls_booked(session, change.job.provider, calls)
    ends = [
        measuring.End(outcome.status, outcome.error_type, outcome.stop_reason)
        for outcome in (*change.ended, *change.of_copies())
        if outcome.status is not None
    ]
    measuring.records_ended(session, ends)


def _stop_reasons(ended: Sequence[Outcome]) -> Counter[str]:
    return Counter(outcome.stop_reason for outcome in ended if outcome.stop_reason is not None)


def _error_types(ended: Sequence[Outcome]) -> Counter[str | None]:
    failed = (outcome.error_type for outcome in ended if outcome.status is RecordStatus.FAILED)
    return Counter(ledger.storable(word, 100) for word in failed if word is not None)


def _move_spend(session: Session, job: JobContext, sums: Counter[str], day: dt.date | None) -> None:
    cost, unconfirmed = sums["cost"], sums["cost_unconfirmed"]
    spend.move(session, job.job_id, job.tenant_id, cost=cost, unconfirmed=unconfirmed, day=day)


def _wake(session: Session, job_id: int, won: Sequence[Outcome], written: Written) -> None:
    """Schedule the `advance` that follows from what this group wrote."""
    times = [outcome.again_in for outcome in won if outcome.again_in is not None]
    if any(outcome.status in (RecordStatus.CANCELLED, RecordStatus.EXPIRED) for outcome in won):
        times.append(0)
    if job_id in written.freed:
        times.append(2.0)  # the slice that wrote this starts the freed turn before that
    if times:
        wakeups.at_latest(session, job_id, min(times))


_outputs = ManyRows(
    RecordOutput,
    (
        "job_id",
        "idx",
        "seq",
        "body",
        "stop_reason",
        "value",
        "repair",
        "error_type",
        "error_message",
        "error_status",
        "error_body",
        "usage",
        "cost",
        "latency_ms",
    ),
    besides=ledger.AGO,
    computed=ledger.times,
)


def _write_outputs(
    session: Session, ended: Sequence[Outcome], costs: Mapping[int, int | None], first_seq: int
) -> None:
    rows = [
        {
            "job_id": outcome.claim.job_id,
            "idx": outcome.claim.idx,
            "seq": seq,
            "body": outcome.body,
            "stop_reason": outcome.stop_reason,
            "value": outcome.value,
            "repair": outcome.repair,
            "error_type": ledger.storable(outcome.error_type, 100),
            "error_message": _text(outcome.error_message),
            "error_status": outcome.error_status,
            "error_body": outcome.error_body,
            "usage": _usage(outcome),
            "cost": _cost(outcome, costs),
            "latency_ms": None if outcome.call is ledger.NO_CALL else round(outcome.call.seconds * 1000),
            "ago": -outcome.call.seconds,
        }
        for seq, outcome in enumerate(ended, start=first_seq)
    ]
    _outputs.insert(session, rows)


def _usage(outcome: Outcome) -> dict[str, int] | None:
    if outcome.usage is None or outcome.body is None:
        return None
    return {kind: getattr(outcome.usage, kind) for kind in totals.TOKENS}


def _cost(outcome: Outcome, costs: Mapping[int, int | None]) -> int | None:
    """The cost of all answers to the record; None where one of them has no price, or its usage is unknown."""
    if outcome.claim.attempt > 1:
        return costs[outcome.claim.idx]
    if outcome.call.usage_unknown:
        return None
    return outcome.call.cost if outcome.call.outcome == ledger.ANSWERED else 0


def _text(value: str | None) -> bytes | None:
    """Any text that JSON can carry, lone surrogates and \\u0000 included."""
    return None if value is None else value.encode("utf-8", "surrogatepass")
