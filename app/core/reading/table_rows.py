"""Results as rows of a table: the columns that the job came with, and the result of each row."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.json_text import text
from app.core.money import pricing
from app.core.reading.answers import answer_text
from app.core.reading.layout import Layout, Row, fields_of
from app.core.reading.records import RecordView
from app.ingest import documents
from app.ingest.forms.row_numbers import RowNumbers
from models.job import JobSpec
from models.job_table import JobTable
from models.record import RecordStatus

# The columns of a job that did not come as a table: what identifies its records.
IDENTITY = ("index", "custom_id")
OF_DOCUMENTS = ("file", "page count")  # of a job of documents


def of_documents(records: Iterable[Any]) -> list[str]:
    """The columns of a job whose records are documents."""
    named = any(isinstance(record, dict) and record.get("custom_id") for record in records)
    return [*IDENTITY[1:], *OF_DOCUMENTS] if named else list(OF_DOCUMENTS)


def columns(session: Session, job_id: int) -> list[str]:
    """The columns of the job's table."""
    return session.scalars(select(JobSpec.columns).where(JobSpec.job_id == job_id)).one() or list(IDENTITY)


def layout(session: Session, job_id: int, *, answer: bool | None = None, joins_lists: bool = False) -> Layout:
    """The columns of the job's table and those of its answers.

    `answer`: with the whole answer as well; None: only where its schema names no columns.
    """
    found = select(JobSpec.columns, JobSpec.schema, JobSpec.asks).where(JobSpec.job_id == job_id)
    spec = session.execute(found).one()
    fields = [] if spec.schema is None else fields_of(json.loads(spec.schema))
    with_answer = not fields if answer is None else answer
    own = spec.columns or list(IDENTITY)
    return Layout(own, fields, with_answer or not fields, joins_lists, spec.asks or ())


def numbers(session: Session, job_id: int) -> RowNumbers:
    """The row of its sheet that each record was, of a job that came as a workbook."""
    stored = session.scalars(select(JobTable.rows).where(JobTable.job_id == job_id)).one()
    return RowNumbers.from_bytes(stored) if stored else RowNumbers()


def row(record: RecordView) -> Row:
    """An ended record that was read with its input."""
    usage = record.usage or {}
    answer = None if record.answer is None else answer_text(record.answer)
    return Row(
        cells={**_identity(record), **_cells(record.asked)},
        answer=answer,
        value=_value(record, answer),
        status=record.status.word,
        stop_reason=record.stop_reason,
        error=None
        if record.error_type is None
        else f"{record.error_type}: {text(record.error_message) or ''}",
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        cost=None if record.cost is None else pricing.dollars(record.cost),
    )


def _value(record: RecordView, answer: str | None) -> Any:
    """The answer's JSON; of an earlier release it is only in its text."""
    if record.value is not None:
        return json.loads(record.value)
    if record.status is not RecordStatus.SUCCEEDED or not (answer or "").startswith("{"):
        return None
    try:
        return json.loads(answer or "")
    except (ValueError, RecursionError):
        return None


def _identity(record: RecordView) -> dict[str, Any]:
    return dict(zip(IDENTITY, (record.idx, text(record.custom_id)), strict=True))


def _cells(body: bytes | None) -> dict[str, Any]:
    """The cells of a record that came as a row, or as a document."""
    document = documents.read(body or b"")
    if document is not None:
        return dict(zip(OF_DOCUMENTS, (document.filename, document.pages), strict=True))
    cells: dict[str, Any] = json.loads(body or b"{}").get("row", {})
    return cells
