"""The header of a table: the names of its columns, and whether another row looks more like one."""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from app.errors import BadInput, NoHeader
from app.ingest.draft import Problems
from app.ingest.sheets.findings import which_sheet
from app.ingest.sheets.rows import NO_HEADER, Choice, Flaw, Row, Source, coordinate
from app.ingest.values import INVISIBLE, as_text, is_blank, is_plain, quoted

MAX_COLUMNS = 16_000  # a sheet holds 16,384, and the answers are added to them
MAX_NAME_CHARACTERS = 1_000
AHEAD, AHEAD_CELLS = 20, 2_000  # rows below the header that are looked at, and their cells together
# What a name begins and ends with; the others belong to the sign before them, as in some emoji.
SEEN = re.compile(f"[^{INVISIBLE}]|[\ufe00-\ufe0f\U000e0020-\U000e007f]")
MISREAD_MARK = "ï»¿"  # of a file that was read in another encoding and saved again
NUMBER = re.compile(r"[\s(+\-−$€£¥]*[\d.,'’\s]{0,40}\d[\d.,'’\s]{0,40}[%‰$€£¥)\s]*(?:[A-Z]{3})?")
LONGEST_NUMBER = 40  # characters


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a table whose rows have not been read."""

    number: int  # of its row; 0: the table has none
    columns: list[str]
    width: int  # cells of its row, which may end with cells without a name
    unnamed: list[str]  # the columns that were named here, because a cell below has something
    ahead: list[Row]  # the first rows below it
    rows: Iterator[Row]  # all of them
    title: str | None  # why it looks like a title above the real header
    better: int | None  # the number of that one's row

    def hint_at(self, absent: Collection[str]) -> str:
        """Which row below has the names that the header lacks; nothing if none has."""
        for row in self.ahead:
            if {bare(cell) for cell in row.cells if isinstance(cell, str)} >= set(absent):
                return f"; row {row.number} has it: is the header there? {_how(row.number)}"
        return ""

    @property
    def lacks_one(self) -> bool:
        """Whether each row has one cell more than the header, as R writes a table with names of rows."""
        sizes = {len(row.cells) for row in self.ahead if row.cells}
        return len(self.ahead) > 1 and sizes == {self.width + 1}

    def is_repeated_by(self, row: Row) -> bool:
        """Whether a row is the header again, as in files that were joined."""
        first, name = row.cells[0], self.columns[0]
        if len(self.columns) < 2 or not isinstance(first, str) or (first.isascii() and name not in first):
            return False  # as nearly all rows are, at once
        return bare(first) == name and [bare(as_text(cell)) for cell in row.cells] == self.columns


def bare(name: str) -> str:
    """A name without what nobody sees around it: spaces, and marks of files that were joined or saved again.

    Accents that are written as characters of their own, as macOS does, become parts of their letters.
    """
    name = name.removeprefix(MISREAD_MARK)
    first, last = SEEN.search(name), SEEN.search(name[::-1])
    if first is None or last is None:
        return ""
    return unicodedata.normalize("NFC", name[first.start() : len(name) - last.start()])


def read_header(source: Source, choice: Choice) -> Header:
    """Read a table up to its header. Raises `NoHeader`, or `BadInput` naming every fault of it."""
    rows = iter(source.rows)
    if choice.header_row == NO_HEADER:
        return _numbered(rows, source)
    row = next((row for row in rows if row.number >= choice.header_row), None)
    ahead = _ahead(rows)
    if row is None or row.number > choice.header_row:
        first = [] if row is None else [row, *ahead]
        raise _no_header(choice, source, first)
    _refuse_unsaved(row)
    all_names = [bare(as_text(cell)) for cell in row.cells]
    names = _until_last(all_names, lambda index: bool(all_names[index]))
    if not names:
        raise _no_header(choice, source, ahead)
    better = _best(ahead, sum(map(bool, names)), len(names))
    title = None if better is None else _title(row.number, names, better, source)
    names = _until_last(all_names, lambda index: bool(all_names[index]) or _has_content(ahead, index))
    columns = _named(names)
    _check(columns, row.number)
    empty = [index for index, name in enumerate(names) if not name and _has_content(ahead, index)]
    unnamed = [columns[index] for index in empty]
    return Header(
        row.number,
        columns,
        len(row.cells),
        unnamed,
        ahead,
        chain(ahead, rows),
        title,
        better and better.number,
    )


def is_number(cell: Any) -> bool:
    """Whether a cell shows a number, as far as one can tell from a text."""
    if isinstance(cell, str):
        return len(cell) <= LONGEST_NUMBER and NUMBER.fullmatch(cell) is not None
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _ahead(rows: Iterator[Row]) -> list[Row]:
    taken: list[Row] = []
    cells = 0
    for row in rows:
        taken.append(row)
        cells += len(row.cells)
        if len(taken) == AHEAD or cells > AHEAD_CELLS:
            break
    return taken


def _numbered(rows: Iterator[Row], source: Source) -> Header:
    """Of a table without a header, whose columns are as many as one of its first rows has."""
    ahead = _ahead(rows)
    width = max((_width(row) for row in ahead), default=0)
    if not width:
        raise BadInput(f"the table has no row with content{which_sheet(source, '; ')}")
    columns = _named([""] * width)
    _check(columns, NO_HEADER)
    return Header(NO_HEADER, columns, width, [], ahead, chain(ahead, rows), None, None)


def _no_header(choice: Choice, source: Source, below: Sequence[Row]) -> NoHeader:
    number = choice.header_row
    if not below and number == 1:
        others = f": choose another sheet, {_listed(source.others)}" if source.others else ""
        where = f"the sheet {quoted(source.sheet)}" if source.sheet is not None and others else "the file"
        return NoHeader(f"{where} is empty: its first row must name the columns{others}")
    better = _best(below, 0, 0)
    hint = "" if better is None else f"; is the header in row {better.number}? {_how(better.number)}"
    if not below:
        return NoHeader(f"header_row: the table ends before row {number}, which must name the columns")
    return NoHeader(f"row {number} is empty: it must name the columns{hint}{which_sheet(source, '; ')}")


def _refuse_unsaved(row: Row) -> None:
    for index, flaw in row.flaws.items():
        if flaw is Flaw.UNSAVED:
            raise BadInput(
                f"{coordinate(index, row.number)} is to name a column, but holds a formula without a saved"
                " value: open the file in a spreadsheet and save it, or type the name"
            )


def _named(names: Sequence[str]) -> list[str]:
    """With names for the columns that have none."""
    taken = set(names)
    columns = []
    for number, name in enumerate(names, start=1):
        own = name or f"column {number}"
        while not name and own in taken:
            own += "_"
        taken.add(own)
        columns.append(own)
    return columns


def _check(names: Sequence[str], row: int) -> None:
    problems, first = Problems(), dict[str, int]()
    if len(names) > MAX_COLUMNS:
        raise BadInput(f"row {row} names {len(names):,} columns; the limit is {MAX_COLUMNS:,}")
    for number, name in enumerate(names, start=1):
        if len(name) > MAX_NAME_CHARACTERS or not is_plain(name):
            limit = f"must be plain text of up to {MAX_NAME_CHARACTERS:,} characters, without NUL"
            problems.add(f"row {row}", f"the name of column {number}, {quoted(name[:60])}, {limit}")
        elif name in first:
            problems.add(
                f"row {row}", f"the columns {first[name]} and {number} are both called {quoted(name)}"
            )
        else:
            first[name] = number
    problems.refuse()


def _until_last(names: Sequence[str], counts: Callable[[int], bool]) -> list[str]:
    """The names up to the last one whose index counts."""
    width = next((index + 1 for index in reversed(range(len(names))) if counts(index)), 0)
    return list(names[:width])


def _width(row: Row) -> int:
    """The number of a row's last cell with something in it."""
    return next((number for number in range(len(row.cells), 0, -1) if not is_blank(row.cells[number - 1])), 0)


def _has_content(rows: Sequence[Row], index: int) -> bool:
    return any(index < len(row.cells) and not is_blank(row.cells[index]) for row in rows)


def _title(number: int, names: Sequence[str], better: Row, source: Source) -> str:
    """The sentence for a row that has fewer names than one below it, which does not fit it."""
    count = sum(map(bool, names))
    there = len(_texts(better))
    hint = "" if source.is_workbook else ". Or a cell with a separator in it has no quotation marks"
    are = f"row {number} has {count} {'name' if count == 1 else 'names'}, row {better.number} has {there}"
    return f"{are}: is the header in row {better.number}? {_how(better.number)}{hint}"


def _how(number: int) -> str:
    return f"Then give header_row={number} (--header-row {number})"


def _best(rows: Sequence[Row], count: int, width: int) -> Row | None:
    """The first of the rows with most names, if they are more than `count` and do not fit `width` columns."""
    filled = [row for row in rows if _texts(row)]
    best = max(filled, key=lambda row: len(_texts(row)) * _is_header(row), default=None)
    if best is not None and not _is_header(best) and count == 1:  # below a title, years may be names
        best = max(filled, key=lambda row: len(_texts(row)))
    elif best is None or not _is_header(best):
        return None
    if len(_texts(best)) <= count:
        return None
    is_beyond = any(not is_blank(cell) for cell in best.cells[width:])
    following = filled[filled.index(best) + 1 :][:1]
    is_followed = all(len(_texts(row)) > count for row in following)
    return best if is_followed and (is_beyond or 2 * count < width) else None


def _texts(row: Row) -> list[Any]:
    """The cells with something in them."""
    return [cell for cell in row.cells if not is_blank(cell)]


def _is_header(row: Row) -> bool:
    texts = _texts(row)
    are_names = all(isinstance(cell, str) and not is_number(cell) for cell in texts)
    return len(texts) > 1 and are_names and len(set(texts)) == len(texts)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(quoted, names[:5])) + more
