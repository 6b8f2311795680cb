"""The five operations on texts, asked of each row of a sheet."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO

from app.errors import BadInput
from app.ingest import operations
from app.ingest.draft import Defaults, Problems
from app.ingest.operations import Operation
from app.ingest.sheets.rows import EVERYTHING, Choice
from app.ingest.tables import Sheet, read_rows, size_of
from app.ingest.values import quoted
from app.providers import registry
from app.services import operation_rows
from app.services.operation_rows import SheetJob
from config import settings

OPERATIONS: Mapping[str, str] = {  # what each does, for a person who chooses
    "summarize": "Summarise each text",
    "sentiment": "Judge the sentiment of each text",
    "key_points": "List the key points of each text",
    "questions": "Write questions about each text",
    "qa": "Answer one question from each text",
}
QA = "qa"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a caller says besides the sheet."""

    operation: str
    column: str  # that holds the texts
    question: str | None = None  # for QA
    model: str | None = None  # None: the default
    max_tokens: int | None = None  # of an answer; None: the default


def operation_of(terms: Terms) -> Operation:
    """The operation as it is asked of a row; raises `BadInput`."""
    if terms.operation not in OPERATIONS:
        raise BadInput.of_field("operation", f"give one of {', '.join(OPERATIONS)}")
    if terms.operation == QA and not (terms.question or "").strip():
        raise BadInput.of_field("question", "give the question that each text is to answer")
    values = {"options": None, "question": terms.question}
    return replace(operations.shipped()[terms.operation], names={"text": terms.column}, values=values)


def read(format: str, stream: BinaryIO, terms: Terms, choice: Choice = EVERYTHING) -> SheetJob:
    """The texts of a sheet in the seekable `stream`; raises `BadInput` where it has no such column."""
    operation, chosen, problems = operation_of(terms), settings.current(), Problems()
    sheet = Sheet(read_rows(format, stream, choice), problems, size_of(stream), choice)
    if terms.column not in sheet.columns:
        there = ", ".join(map(quoted, sheet.columns[:50]))
        raise BadInput.of_field("column", f"the table has no column {quoted(terms.column)}; it has {there}")
    model = terms.model or chosen.default_model
    registry.refuse_misspelt(model, chosen, "model")
    defaults = Defaults(
        model, terms.max_tokens or chosen.default_max_tokens, operations={terms.operation: operation}
    )
    drafts = operation_rows.drafts(
        sheet,
        operation_rows.Columns(terms.operation, terms.column),
        defaults,
        problems,
        max_records=chosen.max_records,
        if_empty=f"every row is empty in {quoted(terms.column)}: there is nothing to ask",
    )
    return SheetJob(sheet, drafts, problems, defaults)
