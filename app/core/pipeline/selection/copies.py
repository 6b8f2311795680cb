"""Copies: records that ask the same as an earlier one of their job. They are never asked, and end as it does.

Lock order as everywhere: the records, and `job_counts` last. A record's copies end in the transaction in
which it ends, unless they are too many for one; `advance` ends the rest.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ScalarSelect, and_, func, insert, literal, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from app.core.pipeline import measuring
from models.base import any_among, any_of, counted, now
from models.job import JobCounts
from models.record import Record, RecordCopy, RecordOutput, RecordStatus
from models.transitions import moving_records

SHARED = frozenset({RecordStatus.SUCCEEDED, RecordStatus.FAILED})  # how a record and its copies end
AT_ONCE = 2_000  # copies that one transaction ends

# What a copy's output has of the other's. It was not called for: it took no tokens and no time.
_SAME = (
    "body",
    "value",
    "repair",
    "stop_reason",
    "error_type",
    "error_message",
    "error_status",
    "error_body",
)


class Copy(NamedTuple):
    """The index of a record, and that of the one which it is a copy of."""

    idx: int
    copy_of: int


def end(session: Session, job_id: int, ended: Mapping[int, RecordStatus]) -> list[Copy]:
    """End up to `AT_ONCE` copies of the records that ended so; `write` must follow."""
    found = session.execute(
        select(RecordCopy.idx, RecordCopy.copy_of)
        .where(RecordCopy.job_id == job_id, any_among(RecordCopy.copy_of, list(ended)))
        .where(_of(Record.status, RecordCopy.idx) == RecordStatus.BLOCKED)
        .order_by(RecordCopy.idx)
        .limit(AT_ONCE)
    )
    return _moved(session, job_id, [(Copy(*row), ended[row.copy_of]) for row in found])


def write(session: Session, job_id: int, copies: Sequence[Copy], first_seq: int) -> None:
    """Write their outputs, once those of the records that they are copies of are written."""
    seq = literal(first_seq - 1) + func.row_number().over(order_by=RecordCopy.idx)
    same = [_of(getattr(RecordOutput, name), RecordCopy.copy_of) for name in _SAME]
    own = (RecordCopy.job_id, RecordCopy.idx, RecordCopy.copy_of, seq, literal(0), now())
    rows = select(*own, *same).where(
        RecordCopy.job_id == job_id,
        any_among(RecordCopy.copy_of, list({copy.copy_of for copy in copies})),
        any_of(RecordCopy.idx, [copy.idx for copy in copies]),
    )
    names = ["job_id", "idx", "copy_of", "seq", "cost", "ended_at", *_SAME]
    session.execute(insert(RecordOutput).from_select(names, rows, include_defaults=False))


def _of(column: InstrumentedAttribute[Any], idx: InstrumentedAttribute[int]) -> ScalarSelect[Any]:
    """What a copy's record, or the one that it is a copy of, has there.

    Not by a join: a planner that takes the job for a small one would read all of it, for each copy.
    """
    table = column.class_
    of_copy = select(column).where(table.job_id == RecordCopy.job_id, table.idx == idx)
    return of_copy.correlate(RecordCopy).scalar_subquery()


def end_remaining(session: Session, job_id: int) -> int:
    """End up to `AT_ONCE` copies of records that ended before; returns how many."""
    other = aliased(Record)
    rows = session.execute(
        select(
            RecordCopy.idx,
            RecordCopy.copy_of,
            other.status,
            RecordOutput.stop_reason,
            RecordOutput.error_type,
            RecordOutput.repair,
            RecordOutput.cost,
        )
        .join(Record, and_(Record.job_id == RecordCopy.job_id, Record.idx == RecordCopy.idx))
        .join(other, and_(other.job_id == RecordCopy.job_id, other.idx == RecordCopy.copy_of))
        .join(
            RecordOutput,
            and_(RecordOutput.job_id == RecordCopy.job_id, RecordOutput.idx == RecordCopy.copy_of),
        )
        .where(RecordCopy.job_id == job_id, Record.status == RecordStatus.BLOCKED, other.status.in_(SHARED))
        .order_by(RecordCopy.idx)
        .limit(AT_ONCE)
    ).all()
    copies = _moved(session, job_id, [(Copy(row.idx, row.copy_of), RecordStatus(row.status)) for row in rows])
    if copies:
        moved = {copy.idx for copy in copies}
        ended = [row for row in rows if row.idx in moved]
        last = _count(session, job_id, ended)
        measuring.records_ended(
            session,
            [measuring.End(RecordStatus(row.status), row.error_type, row.stop_reason) for row in ended],
        )
        write(session, job_id, copies, last - len(copies) + 1)
    return len(copies)


def among(session: Session, job_id: int, indices: Sequence[int]) -> Sequence[int]:
    """Which of these records are copies."""
    these = (RecordCopy.job_id == job_id, any_among(RecordCopy.idx, indices))
    return session.scalars(select(RecordCopy.idx).where(*these)).all()


def _moved(session: Session, job_id: int, ending: Iterable[tuple[Copy, RecordStatus]]) -> list[Copy]:
    """Those that this transaction ended, by index."""
    by_status: dict[RecordStatus, dict[int, Copy]] = defaultdict(dict)
    for copy, status in ending:
        by_status[status][copy.idx] = copy
    moved: list[Copy] = []
    for status, some in by_status.items():
        these = moving_records(
            RecordStatus.BLOCKED, status, Record.job_id == job_id, any_of(Record.idx, list(some))
        )
        moved += [some[idx] for idx in session.scalars(these.returning(Record.idx))]
    return sorted(moved)


def _count(session: Session, job_id: int, rows: Sequence[Any]) -> int:
    """Count them as they ended; returns the job's last `seq`."""
    by = {
        name: Counter(getattr(row, column) for row in rows if getattr(row, column) is not None)
        for name, column in (("reasons", "stop_reason"), ("errors", "error_type"), ("repairs", "repair"))
    }
    succeeded = sum(row.status == RecordStatus.SUCCEEDED for row in rows)
    moving = (
        update(JobCounts)
        .where(JobCounts.job_id == job_id)
        .values(
            seq=JobCounts.seq + len(rows),
            succeeded=JobCounts.succeeded + succeeded,
            failed=JobCounts.failed + len(rows) - succeeded,
            copied_cost=JobCounts.copied_cost + sum(row.cost or 0 for row in rows),
            stop_reasons=counted(JobCounts.stop_reasons, "reasons"),
            error_types=counted(JobCounts.error_types, "errors"),
            repairs=counted(JobCounts.repairs, "repairs"),
        )
        .returning(JobCounts.seq)
    )
    return int(session.connection().scalars(moving, by).one())
