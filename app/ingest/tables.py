"""Tables, CSV and XLSX: a header that names the columns, and one record per row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from os import SEEK_END
from typing import Any, BinaryIO

from app.errors import BadInput, TooLarge
from app.ingest import csv_rows, xlsx_rows
from app.ingest.draft import Defaults, Draft, Problems
from app.ingest.forms.row_numbers import RowNumbers
from app.ingest.intake import Intake
from app.ingest.records import read_row
from app.ingest.templates import Template, absent_columns, compile_template
from app.ingest.values import as_text, byte_size, is_plain

MAX_COLUMNS = 16_000  # a sheet holds 16,384, and the answers are added to them
MAX_NAME_CHARACTERS = 1_000
SKIPPED_TOLD = 1_000
# A record stores a cell for each column, with its name, so short rows below a wide header grow. This is what
# they may grow to, by the size of their file; a full CSV file has at most one cell in each byte.
FREE_CELLS, CELLS_PER_BYTE = 400_000, 4
FREE_NAME_BYTES, NAME_BYTES_PER_BYTE = 20_000_000, 100
READERS: Mapping[str, Callable[[BinaryIO], Iterator[Sequence[Any]]]] = {
    "csv": csv_rows.read_rows,
    "tsv": csv_rows.read_rows,
    "xlsx": xlsx_rows.read_rows,
}
PROMPT_COLUMN = "prompt"


def read_csv(
    stream: BinaryIO, defaults: Defaults, template: Template | None, problems: Problems, *, max_records: int
) -> "Table":
    """The table in a seekable `stream` of CSV; raises `BadInput` for an invalid header."""
    return Table(read_rows("csv", stream), defaults, template, problems, max_records, size_of(stream))


def read_xlsx(
    stream: BinaryIO, defaults: Defaults, template: Template | None, problems: Problems, *, max_records: int
) -> "Table":
    """The table in the first visible sheet of a seekable `stream` of XLSX; raises as `read_csv` does."""
    return Table(read_rows("xlsx", stream), defaults, template, problems, max_records, size_of(stream))


def read_rows(format: str, stream: BinaryIO) -> Iterator[Sequence[Any]]:
    """The rows of a seekable `stream` of CSV, TSV or XLSX; raises `BadInput` for another format."""
    if format not in READERS:
        raise BadInput(f"file: give a table, as one of {', '.join(READERS)}; found {format}")
    return READERS[format](stream)


def size_of(stream: BinaryIO) -> int:
    """Bytes of a seekable stream."""
    return stream.seek(0, SEEK_END)


class Sheet:
    """A table in a file of `size` bytes whose header has been read but not its rows.

    Rows are numbered as in a spreadsheet, the header being row 1.
    """

    def __init__(self, rows: Iterator[Sequence[Any]], problems: Problems, size: int) -> None:
        self.columns = _read_header(rows)
        self.header_row = 1
        self._size = size
        self._max_rows = _max_rows(self.columns, size)
        self.skipped: list[int] = []  # the first thousand rows that are left out
        self._rows = rows
        self._problems = problems

    def cells(self) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """The number and cells of each row with content; None for a row that is listed in `problems`.

        Raises `TooLarge` at the first row more than a file of this size can have with these columns.
        """
        for count, (number, row) in enumerate(self._rows_with_content()):
            if count == self._max_rows:
                raise self._too_wide()
            yield number, self._by_column(row) if self._fits(row, number) else None

    def skip(self, numbers: range) -> None:
        """Leave rows out."""
        self.skipped.extend(numbers[: SKIPPED_TOLD - len(self.skipped)])

    def _rows_with_content(self) -> Iterator[tuple[int, Sequence[Any]]]:
        """Rows with their numbers. Blank lines after the last row are not rows, so they are not listed as
        skipped.
        """
        blank = 0
        for number, row in enumerate(self._rows, start=2):
            if not row:
                blank += 1
                continue
            self.skip(range(number - blank, number))
            blank = 0
            # From the end: what a sheet leaves out of a row stands before its last cell.
            if any(not isinstance(cell, str) or cell.strip() for cell in reversed(row)):
                yield number, row
            else:
                self.skip(range(number, number + 1))

    def _fits(self, row: Sequence[Any], number: int) -> bool:
        if not any(cell != "" for cell in reversed(row[len(self.columns) :])):
            return True
        found = f"{len(row)} cells, but the header names {len(self.columns)} columns"
        self._problems.add(
            f"row {number}", f"the row has {found}: a cell with a separator in it needs quotation marks"
        )
        return False

    def _by_column(self, row: Sequence[Any]) -> dict[str, Any]:
        """The missing cells of a short row are empty."""
        return dict(zip_longest(self.columns, row[: len(self.columns)], fillvalue=""))

    def _too_wide(self) -> TooLarge:
        return TooLarge(
            f"the table has {len(self.columns):,} columns and over {self._max_rows:,} rows, the limit for so"
            f" many columns in a file of {self._size:,} bytes, because each row is stored with all of them:"
            " leave out columns that are empty, or send JSONL"
        )


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
        size: int,
    ) -> None:
        super().__init__(rows, problems, size)
        self.template = template or _prompt_template(self.columns)
        if absent := self.template.variables - set(self.columns):
            raise BadInput(absent_columns(absent, self.columns))
        self.numbers = RowNumbers()  # of the rows that became drafts
        self._defaults = defaults
        self._intake = Intake("row {}", max_records, problems)
        self.drafts = self._read()

    def _read(self) -> Iterator[Draft]:
        """The valid rows; the others are listed in `problems`.

        Raises `BadInput` if no row has content, and `TooLarge` at the first row too many.
        """
        for number, cells in self.cells():
            place = self._intake.place(number)
            draft = None
            if cells is not None:
                draft = read_row(cells, place, self._defaults, self.template, self._problems)
            if self._intake.admits(draft, number):
                self.numbers.add(number)
                yield draft
        self._intake.close("the table has a header but no row with content below it")


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
        raise BadInput(f"row 1 names {len(names):,} columns; the limit is {MAX_COLUMNS:,}")
    _check_names(names)
    return names


def _max_rows(columns: list[str], size: int) -> int:
    """Rows that a file of `size` bytes may have with these columns."""
    cells = FREE_CELLS + CELLS_PER_BYTE * size
    name_bytes = FREE_NAME_BYTES + NAME_BYTES_PER_BYTE * size
    return min(cells // len(columns), name_bytes // sum(map(byte_size, columns)))


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
        raise BadInput(f'a table needs a template, or a column "{PROMPT_COLUMN}"; it has {found}')
    return compile_template("{{ prompt }}")
