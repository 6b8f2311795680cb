"""A table as a person checks it before it is asked: how it was understood, and its first rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from app.errors import BadInput
from app.ingest.draft import Problems
from app.ingest.previews.prompts import shortened
from app.ingest.sheets.rows import EVERYTHING, Choice
from app.ingest.tables import Sheet, read_rows, size_of
from app.ingest.templates import Template
from app.ingest.values import as_text, is_blank

ROWS = 20  # that are shown
PROMPTS = 3  # that are rendered
MOST = 1_000_000  # characters of all cells that are shown; later ones are cut to a few
FEW = 100


class ShownRow(NamedTuple):
    """A row with its number as in a spreadsheet. `fault`: why it cannot be asked."""

    number: int
    cells: Mapping[str, Any]
    is_hidden: bool = False
    fault: str | None = None


class Prompt(NamedTuple):
    """What a row will ask; without a text, why it cannot."""

    number: int
    text: str | None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class TablePreview:
    """The beginning of a table. `notes` tell of the rows that were read."""

    columns: Sequence[str]
    rows: Sequence[ShownRow]
    header_row: int
    notes: Sequence[str]
    skipped: Sequence[int]  # rows among these that are left out
    encoding: str | None = None  # of a text, by its codec
    separator: str | None = None
    sheet: str | None = None  # of a workbook
    sheets: Sequence[str] = ()  # all sheets of it, in their order
    has_more: bool = False  # rows behind those
    better_header: int | None = None  # the number of a row that looks more like the header

    @property
    def longest(self) -> str:
        """The column with the longest texts: most likely what is to be asked about."""
        return max(self.columns, key=lambda name: sum(len(as_text(row.cells[name])) for row in self.rows))


def read_preview(format: str, stream: BinaryIO, choice: Choice = EVERYTHING) -> TablePreview:
    """The first rows of the table in a seekable `stream`; raises `BadInput` for an invalid header.

    No more is read than these rows need, but the encoding of a text is that of all of it.
    """
    problems = Problems()
    source = read_rows(format, stream, choice)
    sheet = Sheet(source, problems, size_of(stream), choice)
    shown: list[ShownRow] = []
    left, has_more = MOST, False
    for row in sheet.rows():
        if len(shown) == ROWS:
            has_more = True
            break
        fault = None if sheet.fits(row) else str(problems.listed[-1]["message"])
        cells = sheet.by_column(row)
        for column, cell in cells.items():
            if isinstance(cell, str) and cell:
                cells[column] = cell[: max(left, FEW)]
                left -= len(cell)
        shown.append(ShownRow(row.number, cells, row.hidden, fault))
    return TablePreview(
        columns=sheet.columns,
        rows=shown,
        header_row=sheet.header_row,
        notes=sheet.notes(),
        skipped=[number for number in sheet.skipped if not shown or number < shown[-1].number],
        encoding=source.encoding,
        separator=source.separator,
        sheet=source.sheet,
        sheets=source.sheets,
        has_more=has_more,
        better_header=sheet.better_header,
    )


def prompts_of(preview: TablePreview, template: Template) -> list[Prompt]:
    """The first prompts, of rows that have something where the template looks."""
    used = template.used(preview.columns)
    needed = [column for column in used if template.needs(column)]

    def is_asked(row: ShownRow) -> bool:
        return not needed or any(not is_blank(row.cells[column]) for column in used)

    return first_prompts(filter(is_asked, preview.rows), template.render)


def first_prompts(rows: Iterable[ShownRow], render: Callable[[Mapping[str, Any]], str]) -> list[Prompt]:
    """What the first of these rows ask."""
    found: list[Prompt] = []
    for row in rows:
        if len(found) == PROMPTS:
            break
        if row.fault is not None:
            continue
        try:
            text = render(row.cells)
        except BadInput as error:
            found.append(Prompt(row.number, None, error.message))
        else:
            if not is_blank(text):
                found.append(Prompt(row.number, shortened(text)))
    return found
