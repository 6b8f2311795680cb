"""Recovery of what a crash left behind, found by state, never only by age: dead leases, overdue records."""

import datetime as dt
from collections import defaultdict
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.orm import Session

from app.core.money import ledger
from app.core.money.ledger import Call
from app.core.pipeline import leases, outcomes, quarantine, staging, wakeups, windows
from app.core.pipeline.outcomes import Outcome
from app.core.requests import job_context
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from config import settings
from models.base import any_of, now
from models.record import Record, RecordStatus
from models.session import in_transaction, reading

OVERDUE = 30.0  # seconds that a record may be held past its call's deadline
KILLER = "killed_worker"  # the error type of a record that takes its process down


def end_lease(session: Session, lease_id: int, *, died: bool) -> int:
    """End a lease and give back the records held under it; returns how many. Its uploads are abandoned.

    If the process `died`, each record counts a death; an orderly stop counts none.
    """
    if not leases.end(session, lease_id):
        return 0
    staging.abandon(session, lease_id)
    job_ids = session.scalars(
        select(Record.job_id)
        .where(Record.status == RecordStatus.RUNNING, Record.lease_id == lease_id)
        .distinct()
    ).all()
    held = Record.lease_id == lease_id
    return sum(_give_back(session, job_id, held, died=died) for job_id in sorted(job_ids))


class Dead(NamedTuple):
    """A process that has died, and how many records of each job it held."""

    lease_id: int
    name: str
    held: dict[int, int]


def look_for_dead(session: Session) -> list[Dead]:
    """Check the leases once; gives back the records of dead ones.

    One whose upload holds its job is left for a later look: the others do not wait for it.
    """
    dead_leases = [
        Dead(lease_id, name, _held_by(session, lease_id))
        for lease_id, name in leases.look(session).items()
        if not staging.is_in_use(session, lease_id)
    ]
    for dead in dead_leases:
        windows.withdraw_from_dead(session, dead.lease_id, dead.held.keys())  # locked before records
        end_lease(session, dead.lease_id, died=True)
    return dead_leases


def give_back_overdue() -> dict[int, int]:
    """Give back records held longer than any call may last, though their process is alive.

    Returns how many of each job.
    """
    seconds = settings.current().call_deadline + OVERDUE
    overdue = and_(Record.status == RecordStatus.RUNNING, Record.claimed_at <= now(-seconds))
    with reading() as session:
        job_ids = session.scalars(select(Record.job_id).where(overdue).distinct()).all()
    return {
        job_id: in_transaction(partial(_give_back, job_id=job_id, where=overdue, died=False))
        for job_id in job_ids
    }


def give_back_unknown(session: Session, lease_id: int, known: frozenset[tuple[int, int]]) -> int:
    """Give back records that the lease's process does not know it holds: all but `known`, as (job, index).

    None of their calls has left. Returns how many there were.
    """
    held = select(Record.job_id, Record.idx).where(
        Record.status == RecordStatus.RUNNING, Record.lease_id == lease_id
    )
    unknown: dict[int, list[int]] = defaultdict(list)
    for job_id, idx in session.execute(held):
        if (job_id, idx) not in known:
            unknown[job_id].append(idx)
    return sum(
        _give_back(
            session,
            job_id,
            and_(Record.lease_id == lease_id, any_of(Record.idx, indices)),
            died=False,
            unsent=True,
        )
        for job_id, indices in sorted(unknown.items())
    )


def _held_by(session: Session, lease_id: int) -> dict[int, int]:
    rows = session.execute(
        select(Record.job_id, func.count().label("records"))
        .where(Record.status == RecordStatus.RUNNING, Record.lease_id == lease_id)
        .group_by(Record.job_id)
    )
    return {row.job_id: row.records for row in rows}


def _give_back(
    session: Session, job_id: int, where: ColumnElement[bool], *, died: bool, unsent: bool = False
) -> int:
    """Let records in flight be claimed again; their calls are booked as unconfirmed, unless `unsent`.

    A record that has killed its processes ends here, in the same transaction.
    """
    held = session.execute(
        update(Record)
        .where(Record.job_id == job_id, Record.status == RecordStatus.RUNNING, where)
        .values(deaths=Record.deaths + (1 if died else 0))
        .returning(*_HELD)
    ).all()
    if held:
        job = job_context.of(job_id)
        outcomes.write(session, [_lost_call(job, row, unsent=unsent) for row in held])
        wakeups.at_latest(session, job_id, 0)
    return len(held)


_HELD = (
    Record.idx,
    Record.lease_id,
    Record.attempts,
    Record.tries,
    Record.deaths,
    Record.request_bytes,
    Record.sent_bytes,
    Record.priced_by,
    Record.max_tokens,
    Record.conversation,
    Record.claimed_at,
    Record.reserved,
)


def _lost_call(job: JobContext, row: Any, *, unsent: bool) -> Outcome:
    """The outcome of a call that was lost in a crash.

    Read only from the record's narrow row: its content may be what killed the process.
    """
    claim = Claim(
        job_id=job.job_id,
        idx=row.idx,
        lease_id=row.lease_id,
        attempt=row.attempts,
        tries=row.tries,
        request_bytes=row.request_bytes,
        max_tokens=row.max_tokens,
        conversation=row.conversation,
    )
    outcome = Outcome(job, claim, _call_of(job, row, unsent=unsent), again_in=0.0)
    if quarantine.is_killer(row.deaths):
        outcome.status = RecordStatus.FAILED
        outcome.error_type = KILLER
        outcome.error_message = (
            f"{row.deaths} worker processes died while asking this record, the last"
            f" {quarantine.ISOLATED_DEATHS} with nothing else in flight. Most likely it or its answer needs"
            " more memory than a worker has: make it smaller, or give the workers more, and retry the job."
        )
    return outcome


def _call_of(job: JobContext, row: Any, *, unsent: bool) -> Call:
    priced_by = row.priced_by or {}
    model = priced_by.get("model", job.model)
    if unsent:
        return Call(ledger.UNSENT, model, error_type="claim_lost")
    call = ledger.unconfirmed(
        model,
        {**job.params, **priced_by},
        row.sent_bytes or row.request_bytes,
        row.max_tokens or job.max_tokens,
        "process_died",
        sent_at=row.claimed_at or dt.datetime.now(dt.UTC),
    )
    return ledger.as_reserved(call, row.reserved)
