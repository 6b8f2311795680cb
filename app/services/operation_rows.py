"""The rows of a sheet, each of which is asked an operation of their job."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import BadInput, Fault
from app.ingest.draft import Defaults, Draft, Problems, asking
from app.ingest.intake import Intake
from app.ingest.records import check_cells, name_in_cells
from app.ingest.tables import Sheet
from app.ingest.values import as_text
from app.providers import registry
from app.services.options import Options
from config import settings

CUSTOM_ID = "custom_id"


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a sheet are to an operation of the job; None: it has no such column."""

    operation: str
    needed: str  # a row with nothing in it is not asked
    conversation: str | None = None  # rows with the same name in it are turns of one
    is_numbered: bool = False  # the row's number is its `custom_id`, not a cell


@dataclass(frozen=True, slots=True)
class SheetJob:
    """A job whose sheet is about to be read; `drafts` lists the faults of rows in `problems`."""

    sheet: Sheet
    drafts: Iterator[Draft]
    problems: Problems
    defaults: Defaults
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def options(self) -> Options:
        """What is known of the job when the drafts have been read."""
        return Options(
            metadata=self.metadata,
            columns=self.sheet.columns,
            skipped=sorted(self.sheet.skipped),
            max_concurrent=registry.promised_concurrency(self.defaults.model, settings.current()),
        )


def drafts(
    sheet: Sheet,
    columns: Columns,
    defaults: Defaults,
    problems: Problems,
    *,
    max_records: int,
    if_empty: str,
) -> Iterator[Draft]:
    """The rows with something to ask; the others are left out of the sheet.

    Invalid rows are listed in `problems`. Raises `BadInput`, with the sentence `if_empty`, if no row has.
    """
    intake = Intake("row {}", max_records, problems)
    for number, cells in sheet.cells():
        if sheet.choice.rows is not None and intake.count >= sheet.choice.rows:
            break
        if cells is not None and not as_text(cells[columns.needed]).strip():
            sheet.skip(range(number, number + 1))
            continue
        draft = None
        if cells is not None:
            draft = _draft(cells, number, columns, defaults, problems)
        if intake.admits(draft, number):
            sheet.numbers.add(number)
            yield draft
    intake.close(if_empty)


def _draft(
    cells: Mapping[str, Any], number: int, columns: Columns, defaults: Defaults, problems: Problems
) -> Draft | None:
    place = f"row {number}"
    try:
        check_cells(cells)
        conversation = _conversation(cells, columns.conversation)
        custom_id = str(number) if columns.is_numbered else name_in_cells(cells, CUSTOM_ID)
        return asking(columns.operation, cells, defaults, custom_id=custom_id, conversation=conversation)
    except Fault as fault:
        problems.add(fault.place(place), str(fault))
    except BadInput as error:
        problems.add(place, error.message)
    return None


def _conversation(cells: Mapping[str, Any], column: str | None) -> str | None:
    if column is None:
        return None
    name = cells[column]
    return name_in_cells({column: name.strip() if isinstance(name, str) else name}, column)
