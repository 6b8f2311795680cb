"""The first rows of a draft, asked as they will be: a small job whose answers stand beside its rows."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.core.accounts.api_keys import Caller
from app.core.documents.job_drafts import JobDraft
from app.core.reading import job_json, jobs, records
from app.core.reading.answers import answer_text, failure
from app.core.reading.follow import follow
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from app.dashboard.new_job import form
from app.errors import NotFound
from app.ingest import tables
from app.ingest.previews.tables import ShownRow, TablePreview
from app.ingest.values import from_json
from app.services.options import Options
from models.session import reading

ROWS = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a row; `text` until then None."""

    status: str
    text: str | None = None
    fields: Mapping[str, Any] | None = None  # of a structured answer
    failure: str | None = None
    is_cut: bool = False  # at max_tokens


@dataclass(frozen=True, slots=True)
class Trial:
    job: JobView
    answers: Mapping[int, Answer]  # by the number of the row
    is_old: bool  # what was typed since asks something else
    cost: str | None  # dollars; None: unknown
    waits: str | None = None  # why no call is made now, in a sentence

    def of_all(self, total: int) -> Decimal | None:
        """Dollars for so many rows, if they cost what these did."""
        answered = self.job.counts.succeeded
        if self.cost is None or not answered or not self.job.status.final:
            return None
        return Decimal(self.cost) * total / answered


def reuse(options: Options, job: JobView | None) -> int | str | None:
    """Whose answers the whole job takes over; by days those of the trial are among them."""
    return options.reuse if job is None or options.reuse is not None else str(job.uid)


def find_job(me: Caller, draft: JobDraft) -> JobView | None:
    """The job of the draft's first rows, unless there is none, or it was deleted."""
    if draft.tried is None:
        return None
    try:
        with reading() as session:
            return jobs.find(session, me.tenant_id, str(draft.tried))
    except NotFound:
        return None


def read(me: Caller, draft: JobDraft, preview: TablePreview | None) -> Trial | None:
    """The draft's trial as it stands."""
    job = find_job(me, draft)
    if job is None:
        return None
    with records.snapshot() as session:
        asked = records.by_index(session, job, None, ROWS, inputs=True).records
    rows = () if preview is None else preview.rows
    return Trial(
        job=job,
        answers={
            number: _answer(record)
            for number, record in _beside(rows, asked, by_cells=draft.format in tables.FORMATS)
        },
        is_old=draft.fields.get(form.TRIED_WITH) != form.asked_with(draft.fields),
        cost=job_json.cost(job),
        waits=_obstacle(job),
    )


def follow_job(job: JobView, key_id: int | None) -> Iterator[bool]:
    """Whether the job has ended, whenever something of it may be new, and every few seconds."""
    for event in follow(job, None, key_id):
        yield event is not None and event.last


def _obstacle(job: JobView) -> str | None:
    if job.status.final:
        return None
    limited = job_json.limits_of([job])[job.id]
    if limited.detail is not None:
        return str(limited.detail["message"])
    return job.status_reason or (limited.word and f"limited by {limited.word}")


def _beside(
    rows: Sequence[ShownRow], asked: Sequence[RecordView], *, by_cells: bool
) -> Iterator[tuple[int, RecordView]]:
    """Each record with the row that it asks: of a table rows are left out here and there."""
    rest = iter(rows)
    for record in asked:
        for row in rest:
            if not by_cells or dict(row.cells) == _cells(record):
                yield row.number, record
                break


def _cells(record: RecordView) -> Mapping[str, Any] | None:
    body = json.loads(record.asked) if record.asked else {}
    found = body.get("row")
    return found if isinstance(found, dict) else None


def _fields(text: str) -> Mapping[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        found = from_json(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _answer(record: RecordView) -> Answer:
    word = record.status.word
    if word == "succeeded":
        text = "" if record.answer is None else answer_text(record.answer)
        return Answer(word, text, _fields(text), is_cut=record.stop_reason == "max_tokens")
    if word in records.ENDED_WORDS:
        return Answer(word, failure=failure(record))
    return Answer(word)
