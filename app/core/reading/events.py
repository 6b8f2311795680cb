"""The events of a job while it runs, made from rows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.json_text import text
from app.core.reading import job_json
from app.core.reading.job_json import Limited
from app.core.reading.jobs import JobView
from models.record import Record, RecordInput, RecordOutput, RecordStatus

GROUP = 2_000  # records in one event

Item = tuple[int, str, int, str | None]  # index, status, seq, custom_id


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `id` is the seq of the last record that a reader knows of after this event."""

    kind: str  # `snapshot`, `records`, `progress` or `status`
    id: int
    data: bytes  # JSON
    items: Sequence[Item] = ()
    last: bool = False  # the job has ended: no event follows
    view: JobView | None = None  # the job as it was then; None for `records`

    def after(self, seq: int) -> "Event | None":
        """The part of the event that is new to a reader which knows everything up to `seq`."""
        if self.id < seq or (self.items and self.id == seq):
            return None
        if not self.items or self.items[0][2] > seq:
            return self
        return records([item for item in self.items if item[2] > seq])


@dataclass(frozen=True, slots=True)
class State:
    """What is compared in order to report only changes. The eta changes by itself and is left out."""

    moved: tuple[object, ...]
    status: tuple[object, ...]


def state(view: JobView, limited: Limited) -> State:
    return State(
        moved=(view.seq, view.counts, view.usage, view.cost, view.cost_unconfirmed, limited),
        status=(view.status, view.status_reason, view.dearer_at),
    )


def snapshot(view: JobView, limited: Limited) -> Event:
    """The whole job."""
    return Event("snapshot", view.seq, _json(job_json.write(view, limited)), view=view)


def records(items: Sequence[Item]) -> Event:
    """Records that have ended."""
    return Event("records", items[-1][2], _json({"records": items}), items)


def progress(view: JobView, limited: Limited) -> Event:
    """Counts, tokens and cost."""
    return Event("progress", view.seq, _json(job_json.progress_out(view, limited)), view=view)


def status(view: JobView, limited: Limited) -> Event:
    """The whole job after a change of its status, or once it is dearer than was forecast.

    The last event when it has ended.
    """
    data = _json(job_json.write(view, limited))
    return Event("status", view.seq, data, last=view.status.final, view=view)


def ended_since(session: Session, job_id: int, after: int, until: int) -> list[Item]:
    """Up to `GROUP` records with a seq above `after` and up to `until`, in that order."""
    if after >= until:
        return []
    # Not by a join: a planner that takes the job for a small one would read all of it.
    status = (
        select(Record.status)
        .where(Record.job_id == RecordOutput.job_id, Record.idx == RecordOutput.idx)
        .correlate(RecordOutput)
        .scalar_subquery()
    )
    custom_id = (
        select(RecordInput.custom_id)
        .where(RecordInput.job_id == RecordOutput.job_id, RecordInput.idx == RecordOutput.idx)
        .correlate(RecordOutput)
        .scalar_subquery()
    )
    ends = session.execute(
        select(RecordOutput.idx, status, RecordOutput.seq, custom_id)
        .where(RecordOutput.job_id == job_id, RecordOutput.seq > after, RecordOutput.seq <= until)
        .order_by(RecordOutput.seq)
        .limit(GROUP)
    )
    return [(idx, RecordStatus(status).word, seq, text(name)) for idx, status, seq, name in ends]


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
