"""Tables, CSV and XLSX: a header that names the columns, and one record a row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, BinaryIO

from app.errors import BadInput
from app.ingest import csv_rows, xlsx_rows
from app.ingest.draft import Defaults, Draft, Problems
from app.ingest.intake import Intake
from app.ingest.records import read_row
from app.ingest.templates import Template, absent_columns, compile_template
from app.ingest.values import as_text, is_plain

MAX_COLUMNS = 16_000  # a sheet holds 16,384, and the answers go beside them
MAX_NAME_CHARACTERS = 1_000
SKIPPED_TOLD = 1_000
READERS: Mapping[str, Callable[[BinaryIO], Iterator[Sequence[Any]]]] = {
    "csv": csv_rows.read_rows,
    "tsv": csv_rows.read_rows,
    "xlsx": xlsx_rows.read_rows,
}
PROMPT_COLUMN = "prompt"


def read_csv(
    stream: BinaryIO, defaults: Defaults, template: Template | None, problems: Problems, *, max_records: int
) -> "Table":
    """The table in a seekable `stream` of CSV; raises `BadInput` for a header that cannot be used."""
    return Table(csv_rows.read_rows(stream), defaults, template, problems, max_records)


def read_xlsx(
    stream: BinaryIO, defaults: Defaults, template: Template | None, problems: Problems, *, max_records: int
) -> "Table":
    """The table in the first visible sheet of a seekable `stream` of XLSX; raises as `read_csv` does."""
    return Table(xlsx_rows.read_rows(stream), defaults, template, problems, max_records)


def read_rows(format: str, stream: BinaryIO) -> Iterator[Sequence[Any]]:
    """The rows of a seekable `stream` of CSV, TSV or XLSX; raises `BadInput` for another format."""
    if format not in READERS:
        raise BadInput(f"file: a table is needed, which is one of {', '.join(READERS)}; found {format}")
    return READERS[format](stream)


class Sheet:
    """A table whose header was read and whose rows are not read yet.

    Rows are numbered as a spreadsheet shows them, the header being row 1.
    """

    def __init__(self, rows: Iterator[Sequence[Any]], problems: Problems) -> None:
        self.columns = _read_header(rows)
        self.skipped: list[int] = []  # the first thousand rows that are left out
        self._rows = rows
        self._problems = problems

    def cells(self) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """Of each row with content its number and its cells; None for one that is named in `problems`."""
        for number, row in self._rows_with_content():
            yield number, self._by_column(row) if self._fits(row, number) else None

    def skip(self, numbers: range) -> None:
        """Leave rows out."""
        self.skipped.extend(numbers[: SKIPPED_TOLD - len(self.skipped)])

    def _rows_with_content(self) -> Iterator[tuple[int, Sequence[Any]]]:
        """With their numbers. Blank lines below the last row are no rows, so they are not told as skipped."""
        blank = 0
        for number, row in enumerate(self._rows, start=2):
            if not row:
                blank += 1
                continue
            self.skip(range(number - blank, number))
            blank = 0
            if any(not isinstance(cell, str) or cell.strip() for cell in row):
                yield number, row
            else:
                self.skip(range(number, number + 1))

    def _fits(self, row: Sequence[Any], number: int) -> bool:
        if not any(cell != "" for cell in row[len(self.columns) :]):
            return True
        found = f"{len(row)} cells, the header names {len(self.columns)} columns"
        self._problems.add(
            f"row {number}", f"the row has {found}: a cell with a separator in it needs quotation marks"
        )
        return False

    def _by_column(self, row: Sequence[Any]) -> dict[str, Any]:
        """The cells that a short row lacks are empty."""
        return dict(zip_longest(self.columns, row[: len(self.columns)], fillvalue=""))


class Table(Sheet):
    """A table whose rows are rendered with `template`, or with its column `prompt`.

    `template` is what the job has to store: without one of its own it is `{{ prompt }}`.
    """

    def __init__(
        self,
        rows: Iterator[Sequence[Any]],
        defaults: Defaults,
        template: Template | None,
        problems: Problems,
        max_records: int,
    ) -> None:
        super().__init__(rows, problems)
        self.template = template or _prompt_template(self.columns)
        if absent := self.template.variables - set(self.columns):
            raise BadInput(absent_columns(absent, self.columns))
        self._defaults = defaults
        self._intake = Intake("row {}", max_records, problems)
        self.drafts = self._read()

    def _read(self) -> Iterator[Draft]:
        """The rows that have no fault; the others are named in `problems`.

        Raises `BadInput` if no row has content, and `TooLarge` at the first row too many.
        """
        for number, cells in self.cells():
            place = self._intake.place(number)
            draft = None
            if cells is not None:
                draft = read_row(cells, place, self._defaults, self.template, self._problems)
            if self._intake.admits(draft, number):
                yield draft
        self._intake.close("the table has a header and no row with content below it")


def _read_header(rows: Iterator[Sequence[Any]]) -> list[str]:
    row = next(rows, None)
    if row is None:
        raise BadInput("the file is empty: its first row must name the columns")
    names = [as_text(cell).strip() for cell in row]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise BadInput("row 1 is empty: it must name the columns")
    if len(names) > MAX_COLUMNS:
        raise BadInput(f"row 1 names {len(names):,} columns, the limit is {MAX_COLUMNS:,}")
    _check_names(names)
    return names


def _check_names(names: list[str]) -> None:
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise BadInput(f"row 1: column {number} has no name")
        if len(name) > MAX_NAME_CHARACTERS or not is_plain(name):
            raise BadInput(
                f"row 1: the name of column {number} must be text of up to {MAX_NAME_CHARACTERS:,} characters"
            )
        if name in first:
            raise BadInput(f'row 1: the columns {first[name]} and {number} are both called "{name}"')
        first[name] = number


def _prompt_template(columns: list[str]) -> Template:
    if PROMPT_COLUMN not in columns:
        found = ", ".join(f'"{name}"' for name in columns[:50])
        raise BadInput(f'a table needs a template, or a column "{PROMPT_COLUMN}"; there is {found}')
    return compile_template("{{ prompt }}")
