"""The rows of one sheet, from the tags of its XML. Only the cells that a file has cost time."""

from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any

from app.errors import BadInput
from app.ingest.sheets.rows import SOUND, Flaw, Row, Source
from app.ingest.values import quoted
from app.ingest.xlsx.archive import Archive
from app.ingest.xlsx.cells import NO_DATE, Cells
from app.ingest.xlsx.coordinates import DIGITS, MAX_ROWS, column_number, row_number
from app.ingest.xlsx.markup import names, parse
from app.ingest.xlsx.merged import Area, Carrier, find_areas
from app.ingest.xlsx.meter import GAP, Meter
from app.ingest.xlsx.workbook import TRUE, Workbook

MAX_ROW_CHARACTERS = 32_000_000
ROW, CELL, VALUE, TEXT, HINT, FORMULA = "row", "c", "v", "t", "rPh", "f"
NO_HEIGHT = ("0", "0.0")
TAGS = names(ROW, CELL, VALUE, TEXT, HINT, FORMULA)


def read_sheet(archive: Archive, workbook: Workbook, source: Source, header_row: int) -> Iterator[Row]:
    """Its rows; those that the sheet leaves out are left out. What is found goes into `source`.

    Merged areas that begin below the header are carried down.
    """
    tags = _Tags(Cells(workbook, archive.meter), archive.meter)
    areas = {top: found for top, found in _areas(archive, workbook).items() if top > header_row}
    carrier = Carrier(areas, source.carried, archive.meter)
    parsed = parse(archive.blocks(workbook.sheet), tags.start, tags.end, tags.text)
    while _parse_more(parsed, tags):
        source.formulas = tags.formulas
        for row in tags.take():
            yield carrier.fill(row) if areas else row


def unreadable(what: str, error: Exception) -> BadInput:
    return BadInput(f"{what} cannot be read as XLSX: {str(error)[:200] or type(error).__name__}")


def _areas(archive: Archive, workbook: Workbook) -> Mapping[int, set[Area]]:
    try:
        return find_areas(archive.unpaid(workbook.sheet))
    except BadInput:
        raise
    except Exception as error:
        raise unreadable(f"the sheet {quoted(workbook.name)}", error) from error


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
        self.formulas = 0  # cells with a saved value that was calculated
        self._cells, self._meter = cells, meter
        self._columns: dict[str, int] = {}
        self._rows: list[Row] = []
        self._row: list[Any] | None = None
        self._flaws: dict[int, Flaw] = {}
        self._is_hidden = self._is_formula = False
        self._column = self._characters = 0
        self._given: dict[str, str] = {}  # the attributes of the cell
        self._pieces: list[str] = []  # the text of its value
        self._holder: str | None = None  # the tag whose text is the value
        self._is_text = False

    def take(self) -> list[Row]:
        """The rows that have ended."""
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
            self._is_hidden = given.get("hidden") in TRUE or given.get("ht") in NO_HEIGHT
        elif tag == FORMULA:
            self._is_formula = True

    def text(self, text: str) -> None:
        if self._is_text:
            self._take_characters(len(text))
            self._pieces.append(text)

    def end(self, name: str) -> None:
        tag = TAGS.get(name)
        if tag == CELL:
            self._end_cell()
        elif tag == ROW and self._row is not None:
            self._rows.append(Row(self.number, self._row, self._is_hidden, self._flaws or SOUND))
            self._row = None
        elif tag == HINT:
            self._holder = TEXT
        elif tag is not None:
            self._is_text = False

    def _start_row(self, given: str | None) -> None:
        if self._row is not None:
            raise ValueError("another row begins within it")
        number = self.number + 1 if given is None else row_number(given)
        if number > MAX_ROWS:
            raise BadInput(f"the sheet has over {MAX_ROWS:,} rows: send CSV or JSONL")
        if number <= self.number:
            raise ValueError(f"row {number} follows it")
        self.number, self._row, self._flaws = number, [], {}
        self._column = self._characters = 0

    def _end_cell(self) -> None:
        coordinate = self._given.get("r")
        self._column = self._column + 1 if coordinate is None else self._column_of(coordinate)
        kind = self._given.get("t")
        if self._pieces:
            text = self._pieces[0] if len(self._pieces) == 1 else "".join(self._pieces)
            self._pieces.clear()
            value = self._cells.value(self._given, text)
            self._place(value, Flaw.ERROR if kind == "e" or value is NO_DATE else None)
            self.formulas += self._is_formula
        elif self._is_formula and kind != "str":  # the empty text is saved as one
            self._place("", Flaw.UNSAVED)
        self._holder, self._is_formula = None, False

    def _place(self, value: Any, flaw: Flaw | None) -> None:
        """Put a value into its column. What it leaves out before it is paid like what it has."""
        row = self._row
        if row is None or (value == "" and flaw is None):
            return
        if isinstance(value, str):
            self._take_characters(len(value))
        gap = self._column - len(row) - 1
        if gap > 0:
            self._meter.take_marks(gap // GAP)
            row.extend(repeat("", gap))
        if gap < 0:
            row[self._column - 1] = value
        else:
            row.append(value)
        if flaw is not None:
            self._flaws[self._column - 1] = flaw

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
