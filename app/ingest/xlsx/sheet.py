"""The rows of one sheet, from the tags of its XML. Only the cells that a file has cost time."""

from collections.abc import Iterator
from itertools import repeat
from typing import Any

from app.errors import BadInput
from app.ingest.xlsx.archive import Archive
from app.ingest.xlsx.cells import Cells
from app.ingest.xlsx.markup import names, parse
from app.ingest.xlsx.meter import GAP, Meter
from app.ingest.xlsx.workbook import Workbook

MAX_ROWS, MAX_COLUMNS = 1_048_576, 16_384  # Excel's own
MAX_ROW_CHARACTERS = 32_000_000
ROW, CELL, VALUE, TEXT, HINT = "row", "c", "v", "t", "rPh"
TAGS = names(ROW, CELL, VALUE, TEXT, HINT)
DIGITS = "0123456789"

Row = list[Any]


def read_sheet(archive: Archive, workbook: Workbook) -> Iterator[Row]:
    """Its rows, those that it leaves out included; trailing empty cells are left out, others are ""."""
    tags = _Tags(Cells(workbook, archive.meter), archive.meter)
    parsed = parse(archive.blocks(workbook.sheet), tags.start, tags.end, tags.text)
    before = 0
    while _parse_more(parsed, tags):
        for number, row in tags.take():
            yield from repeat([], number - before - 1)
            yield row
            before = number


def unreadable(what: str, error: Exception) -> BadInput:
    return BadInput(f"{what} cannot be read as XLSX: {str(error)[:200] or type(error).__name__}")


def _parse_more(parsed: Iterator[None], tags: "_Tags") -> bool:
    """Read another block. What is wrong with it is told with the row that is being read."""
    try:
        return next(parsed, tags) is None
    except BadInput:
        raise
    except Exception as error:
        raise unreadable(f"row {max(1, tags.number)}", error) from error


class _Tags:
    """Is told each tag and text in turn, and keeps the rows that have ended."""

    def __init__(self, cells: Cells, meter: Meter) -> None:
        self.number = 0  # of the row that is being read, or was read last
        self._cells, self._meter = cells, meter
        self._columns: dict[str, int] = {}
        self._rows: list[tuple[int, Row]] = []
        self._row: Row | None = None
        self._column = self._characters = 0
        self._given: dict[str, str] = {}  # the attributes of the cell
        self._pieces: list[str] = []  # the text of its value
        self._holder: str | None = None  # the tag whose text is the value
        self._is_text = False

    def take(self) -> list[tuple[int, Row]]:
        """The rows that have ended, with their numbers."""
        rows, self._rows = self._rows, []
        return rows

    def start(self, name: str, given: dict[str, str]) -> None:
        tag = TAGS.get(name)
        if tag == CELL:
            self._given = given
            self._holder = TEXT if given.get("t") == "inlineStr" else VALUE
        elif tag == self._holder:
            self._is_text = True
        elif tag == HINT:  # how to pronounce a text is no part of it
            self._holder = None
        elif tag == ROW:
            self._start_row(given.get("r"))

    def text(self, text: str) -> None:
        if self._is_text:
            self._take_characters(len(text))
            self._pieces.append(text)

    def end(self, name: str) -> None:
        tag = TAGS.get(name)
        if tag == CELL:
            self._end_cell()
        elif tag == ROW and self._row is not None:
            self._rows.append((self.number, self._row))
            self._row = None
        elif tag == HINT:
            self._holder = TEXT
        elif tag is not None:
            self._is_text = False

    def _start_row(self, given: str | None) -> None:
        if self._row is not None:
            raise ValueError("another row begins within it")
        number = self.number + 1 if given is None else _row_number(given)
        if number > MAX_ROWS:
            raise BadInput(f"the sheet has over {MAX_ROWS:,} rows: send CSV or JSONL")
        if number <= self.number:
            raise ValueError(f"row {number} follows it")
        self.number, self._row = number, []
        self._column = self._characters = 0

    def _end_cell(self) -> None:
        coordinate = self._given.get("r")
        self._column = self._column + 1 if coordinate is None else self._column_of(coordinate)
        if self._pieces:
            text = self._pieces[0] if len(self._pieces) == 1 else "".join(self._pieces)
            self._pieces.clear()
            self._place(self._cells.value(self._given, text))
        self._holder = None

    def _place(self, value: Any) -> None:
        """Put a value into its column. What it leaves out before it is paid like what it has."""
        row = self._row
        if row is None or value == "":
            return
        if isinstance(value, str):
            self._take_characters(len(value))
        gap = self._column - len(row) - 1
        if gap < 0:
            row[self._column - 1] = value
            return
        if gap:
            self._meter.take_marks(gap // GAP)
            row.extend(repeat("", gap))
        row.append(value)

    def _take_characters(self, count: int) -> None:
        """Texts count twice: as they are read, and as they are placed."""
        self._characters += count
        if self._characters > 2 * MAX_ROW_CHARACTERS:
            raise BadInput(
                f"row {self.number}: it has over {MAX_ROW_CHARACTERS:,} characters, the limit of a row"
            )

    def _column_of(self, coordinate: str) -> int:
        letters = coordinate.rstrip(DIGITS)
        found = self._columns.get(letters)
        if found is None:
            found = self._columns[letters] = column_number(letters)
        return found


def column_number(letters: str) -> int:
    """The number of a column, A being 1; raises `ValueError` for one that no sheet has."""
    number = 0
    for letter in letters.replace("$", "").upper()[:4]:
        if not "A" <= letter <= "Z":
            raise ValueError(f"it has a cell in column {letters[:20]!r}")
        number = 26 * number + ord(letter) - ord("A") + 1
    if not 0 < number <= MAX_COLUMNS:
        raise ValueError(f"it has a cell in column {letters[:20]!r}; the last one is XFD")
    return number


def _row_number(text: str) -> int:
    """Some writers give it a decimal point."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise
        return int(number)
