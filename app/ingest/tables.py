"""Tables, such as CSV and XLSX: a header that names the columns, and one record per row."""

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, pairwise, zip_longest
from os import SEEK_END
from typing import Any, BinaryIO

from app.errors import BadInput, BlankPrompt, TooLarge
from app.ingest import csv_rows
from app.ingest.apart import parquet, workbooks
from app.ingest.draft import Defaults, Draft, Problems
from app.ingest.forms.row_numbers import RowNumbers
from app.ingest.intake import Intake
from app.ingest.records import read_row
from app.ingest.sheets import default_prompts
from app.ingest.sheets.findings import Findings, which_sheet
from app.ingest.sheets.header import read_header
from app.ingest.sheets.rows import EVERYTHING, NO_HEADER, Choice, Row, Source
from app.ingest.sheets.selection import Selection
from app.ingest.template_hints import absent_columns, no_column
from app.ingest.templates import Template, compile_template
from app.ingest.values import byte_size, is_blank, quoted
from app.ingest.xlsx import rows as xlsx_rows

SKIPPED_TOLD = 1_000
# A record stores a cell for each column, with its name, so short rows below a wide header grow. This is what
# they may grow to, by the size of their file; a full CSV file has at most one cell in each byte.
FREE_CELLS, CELLS_PER_BYTE = 200_000, 4
FREE_NAME_BYTES, NAME_BYTES_PER_BYTE = 20_000_000, 100
READERS: Mapping[str, Callable[[BinaryIO, Choice], Source]] = {
    "csv": csv_rows.read_rows,
    "tsv": csv_rows.read_rows,
    "xlsx": xlsx_rows.read_rows,
    "xls": workbooks.read_xls,
    "xlsb": workbooks.read_xlsb,
    "ods": workbooks.read_ods,
    "parquet": parquet.read_rows,
}
FORMATS = tuple(READERS)
PROMPT_COLUMN = "prompt"


def read_rows(format: str, stream: BinaryIO, choice: Choice = EVERYTHING) -> Source:
    """The rows of a seekable `stream` of a table; raises `BadInput` for another format."""
    if format not in READERS:
        raise BadInput(f"file: give a table, as one of {', '.join(READERS)}; found {format}")
    source = READERS[format](stream, choice)
    if choice.sheet is not None and not source.is_workbook:
        raise BadInput(f"sheet: only a workbook has sheets, and the file is {format.upper()}: leave it out")
    if source.is_workbook and (choice.encoding or choice.separator):
        raise BadInput(f"{'encoding' if choice.encoding else 'separator'}: a workbook has none: leave it out")
    if choice.visible_only and not source.is_workbook:
        raise BadInput(
            f"visible_only: only a workbook has hidden rows, and the file is {format.upper()}: leave it out"
        )
    return source


def size_of(stream: BinaryIO) -> int:
    """Bytes of a seekable stream."""
    return stream.seek(0, SEEK_END)


class Sheet:
    """A table in a file of `size` bytes whose header has been read but not its rows.

    Rows are numbered as in a spreadsheet.
    """

    def __init__(self, source: Source, problems: Problems, size: int, choice: Choice = EVERYTHING) -> None:
        self._header = read_header(source, choice)
        self.columns = self._header.columns
        self.header_row, self.sheet = self._header.number, source.sheet
        self.better_header = self._header.better  # the number of a row that looks more like one
        self._size = size
        self._max_rows = _max_rows(self.columns, size)
        self.skipped: list[int] = []  # the first thousand rows that are left out
        self.choice = choice
        self._source = source
        self.numbers = RowNumbers()  # of the rows that became drafts
        self._found = Findings()
        self._found.unnamed = self._header.unnamed
        self._problems = problems

    def cells(self) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """The number and cells of each row with content; None for a row that is listed in `problems`.

        Raises `TooLarge` at the first row more than a file of this size can have with these columns.
        """
        for row in self.rows():
            yield row.number, self.by_column(row) if self.fits(row) else None

    def notes(self) -> list[str]:
        """What the owner should know of how the sheet was read; complete when the rows are."""
        return self._found.sentences(self._source, self.choice, self._used())

    def _used(self) -> Sequence[str]:
        return self.columns

    def skip(self, numbers: range) -> None:
        """Leave rows out."""
        self.skipped.extend(numbers[: SKIPPED_TOLD - len(self.skipped)])

    def rows(self) -> Iterator[Row]:
        """The rows with content; of the others those before the last such row are listed as skipped.

        Raises as `cells` does.
        """
        before = self._header.number
        for row in self._header.rows:
            if not row.cells:
                continue
            self.skip(range(before + 1, row.number))
            before = row.number
            if not _has_content(row) or self._is_header_again(row):
                self.skip(range(row.number, row.number + 1))
                continue
            self._found.rows += 1
            self._found.hidden += row.hidden
            if row.hidden and self.choice.visible_only:
                continue
            if self._found.rows > self._max_rows:
                raise self._too_wide()
            yield row

    def _is_header_again(self, row: Row) -> bool:
        is_again = self._header.is_repeated_by(row)
        self._found.repeated += is_again
        return is_again

    def fits(self, row: Row) -> bool:
        """Whether the header names each of its cells; what is beside the table is listed in `problems`."""
        width = len(self.columns)
        if len(row.cells) <= width or all(is_blank(cell) for cell in reversed(row.cells[width:])):
            return True
        found = f"{len(row.cells)} cells, but the header names {width} columns"
        if self.header_row == NO_HEADER:
            found = f"{len(row.cells)} cells, but the first rows have {width}"
            how = "delete what stands beside the table, or name its columns in a header"
        elif self._source.is_workbook or len(row.cells) <= self._header.width:
            how = f"name the others in row {self._header.number}, or delete what stands beside the table"
        elif self._header.lacks_one:
            how = (
                f"put a name for the first column, which has none, at the start of row {self._header.number}"
            )
        else:
            how = "a cell with a separator in it needs quotation marks"
        self._problems.add(f"row {row.number}", f"the row has {found}: {how}")
        return False

    def by_column(self, row: Row) -> dict[str, Any]:
        """The cells of a row that fits. The missing cells of a short row are empty."""
        return dict(zip_longest(self.columns, row.cells[: len(self.columns)], fillvalue=""))

    def _too_wide(self) -> TooLarge:
        return TooLarge(
            f"the table has {len(self.columns):,} columns and over {self._max_rows:,} rows, the limit for so"
            f" many columns in a file of {self._size:,} bytes, because each row is stored with all of them:"
            " leave out columns that are empty, or send JSONL"
        )


class Table(Sheet):
    """A table whose rows are rendered with `template`, or with its column `prompt`.

    `template` is what the job has to store: without one of its own it is `{{ prompt }}`. Raises `BadInput`
    for a template that does not fit the header.
    """

    def __init__(
        self,
        source: Source,
        defaults: Defaults,
        template: Template | None,
        problems: Problems,
        max_records: int,
        size: int,
        choice: Choice = EVERYTHING,
    ) -> None:
        super().__init__(source, problems, size, choice)
        self._defaults = defaults
        self._no_prompt: str | None = None
        self.template = self._prompt_template() if template is None else _composed(template)
        absent = self.template.variables - set(self.columns)
        if self._header.title and (absent or self.template.takes_whole_row):
            raise BadInput(self._header.title)
        if absent:
            hint = self._header.hint_at(absent) or which_sheet(source, "; ")
            raise BadInput(absent_columns(absent, self.columns) + hint)
        self._selection = Selection(self.template, self.columns, self._found)
        self._intake = Intake("row {}", max_records, problems)
        self.drafts = self._read()

    def _used(self) -> Sequence[str]:
        return self._selection.used

    def _read(self) -> Iterator[Draft]:
        """The valid rows; the others are listed in `problems`.

        Raises `BadInput` if no row is to be asked, and `TooLarge` at the first row too many.
        """
        for row, following in pairwise(chain(self.rows(), (None,))):
            assert row is not None
            if self.choice.rows is not None and self._intake.count >= self.choice.rows:
                break
            if self._selection.leaves_out(row, is_last=following is None):
                self.skip(range(row.number, row.number + 1))
                continue
            if self._intake.count == 1 and not self._selection.used:
                raise BadInput(no_column(self.template.source, self.columns))
            yield from self._drafts(row)
        self.skipped.sort()  # a row is judged when the next one, and what is blank before it, is known
        if self._found.blank and not self._intake.count:
            used = ", ".join(map(quoted, self._selection.used))
            raise BadInput(f"every row is empty in {used}: there is nothing to ask")
        if self.choice.visible_only and 0 < self._found.rows == self._found.hidden:
            raise BadInput("every row is hidden: leave visible_only (--visible-only) out")
        self._intake.close("the table has a header but no row with content below it")

    def _drafts(self, row: Row) -> Iterator[Draft]:
        """The draft of a row, unless it is invalid, or its prompt turns out to be blank."""
        place, draft = self._intake.place(row.number), None
        faults = self._selection.faults(row)
        for fault in faults:
            self._problems.add(fault.place(place), str(fault))
        if self.fits(row) and not faults:
            try:
                draft = read_row(self.by_column(row), place, self._defaults, self.template, self._problems)
            except BlankPrompt:
                self._found.blank += 1
                self.skip(range(row.number, row.number + 1))
                return
        if self._intake.admits(draft, row.number):
            self.numbers.add(row.number)
            yield draft

    def _of_whole_rows(self) -> Template:
        """The fields of the answer say what is asked."""
        if self._header.title:
            raise BadInput(self._header.title)
        if len(self.columns) > default_prompts.MOST:
            raise BadInput(
                f"the table has {len(self.columns):,} columns: give a template that names those to be asked"
                " about"
            )
        asked = default_prompts.asked(self.columns)
        names = ", ".join(map(quoted, asked[:20]))
        more = f" and {len(asked) - 20:,} more" if len(asked) > 20 else ""
        self._no_prompt = f"no prompt was given: each row is asked for the fields by its {names}{more}"
        return compile_template(default_prompts.of_row(self.columns))

    def notes(self) -> list[str]:
        return [*([self._no_prompt] if self._no_prompt else ()), *super().notes()]

    def _prompt_template(self) -> Template:
        if PROMPT_COLUMN not in self.columns and self._defaults.schema is not None:
            return self._of_whole_rows()
        if PROMPT_COLUMN not in self.columns:
            found = ", ".join(map(quoted, self.columns[:50]))
            hint = "" if self._header.title is None else f". Or: {self._header.title}"
            raise BadInput(f'a table needs a template, or a column "{PROMPT_COLUMN}"; it has {found}{hint}')
        return compile_template("{{ prompt }}")


def read_table(
    format: str,
    stream: BinaryIO,
    defaults: Defaults,
    template: Template | None,
    problems: Problems,
    *,
    max_records: int,
    choice: Choice = EVERYTHING,
) -> Table:
    """The table in a seekable `stream` of one of `FORMATS`; raises `BadInput` for an invalid header."""
    source = read_rows(format, stream, choice)
    return Table(source, defaults, template, problems, max_records, size_of(stream), choice)


read_csv, read_xlsx = partial(read_table, "csv"), partial(read_table, "xlsx")


def _composed(template: Template) -> Template:
    """With accents as parts of their letters, as in the names of columns."""
    if unicodedata.is_normalized("NFC", template.source):
        return template
    return compile_template(unicodedata.normalize("NFC", template.source))


def _has_content(row: Row) -> bool:
    # From the end: what a sheet leaves out of a row stands before its last cell.
    return bool(row.flaws) or any(not is_blank(cell) for cell in reversed(row.cells))


def _max_rows(columns: Sequence[str], size: int) -> int:
    """Rows that a file of `size` bytes may have with these columns."""
    cells = FREE_CELLS + CELLS_PER_BYTE * size
    name_bytes = FREE_NAME_BYTES + NAME_BYTES_PER_BYTE * size
    return min(cells // len(columns), name_bytes // sum(map(byte_size, columns)))
