"""The questions of a sheet: finds its columns, turns its rows into drafts, conversation by conversation.
Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import BadInput, Fault
from app.ingest.draft import Defaults, Draft, Problems, asking
from app.ingest.intake import Intake
from app.ingest.records import check_cells, name_in_cells
from app.ingest.tables import Sheet
from app.ingest.values import as_text

OPERATION = "chat"
QUESTION = ("REDACTEDQUESTION", "question")  # of two such columns the first one is used
CHAT, PAGE = "chatId", "URL"


@dataclass(frozen=True, slots=True)
class Columns:
    """The sheet's names for the relevant columns; None: it has no such column."""

    question: str | None
    chat: str | None
    page: str | None

    @property
    def names(self) -> dict[str, str]:
        """By the names that templates use."""
        found = {"question": self.question, "url": self.page}
        return {name: column for name, column in found.items() if column is not None}


def find_columns(names: Iterable[str]) -> Columns:
    """The columns by their names, ignoring case."""
    known = {name.casefold(): name for name in names}
    asked = [known[name.casefold()] for name in QUESTION if name.casefold() in known]
    return Columns(asked[0] if asked else None, known.get(CHAT.casefold()), known.get(PAGE.casefold()))


def find_question(names: Iterable[str]) -> Columns:
    """Like `find_columns`; raises `BadInput` listing the columns when there is no question."""
    found = list(names)
    columns = find_columns(found)
    if columns.question is None:
        there = ", ".join(f'"{name}"' for name in found[:50])
        raise BadInput(f'the column "{QUESTION[0]}" (or "{QUESTION[1]}") is missing; the sheet has {there}')
    return columns


def drafts(
    sheet: Sheet, columns: Columns, defaults: Defaults, problems: Problems, *, max_records: int
) -> Iterator[Draft]:
    """The rows with a question; the others are left out of the sheet.

    Invalid rows are listed in `problems`. Raises `BadInput` if no row has a question.
    """
    assert columns.question is not None
    intake = Intake("row {}", max_records, problems)
    for number, cells in sheet.cells():
        if cells is not None and not as_text(cells[columns.question]).strip():
            sheet.skip(range(number, number + 1))
            continue
        draft = None
        if cells is not None:
            draft = _draft(cells, number, columns, defaults, problems)
        if intake.admits(draft, number):
            yield draft
    intake.close(f'no row has a question in the column "{columns.question}"')


def _draft(
    cells: Mapping[str, Any], number: int, columns: Columns, defaults: Defaults, problems: Problems
) -> Draft | None:
    """A row is identified by its number; a row of a chat is a turn of its conversation."""
    place = f"row {number}"
    try:
        check_cells(cells)
        conversation = _conversation(cells, columns.chat)
        return asking(OPERATION, cells, defaults, custom_id=str(number), conversation=conversation)
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
