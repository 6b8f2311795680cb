"""What every reader of tables gives: rows with their numbers, and what is known of the file besides."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple


class Flaw(Enum):
    """Why a cell does not hold what its author means."""

    UNSAVED = "a formula without a saved value"
    ERROR = "an error"
    NUL = "a NUL character"


SOUND: Mapping[int, Flaw] = {}
NO_HEADER = 0  # as the number of its row: the columns are called "column 1" and so on


class Row(NamedTuple):
    """One row. Trailing cells may be missing; an empty cell is ""."""

    number: int  # as a spreadsheet shows it
    cells: Sequence[Any]
    hidden: bool = False
    flaws: Mapping[int, Flaw] = SOUND  # by the index of the cell


@dataclass(frozen=True, slots=True)
class Choice:
    """Which part of a file its sender wants to be read."""

    rows: int | None = None  # only the first so many that are asked
    sheet: str | None = None  # by its name, or by its place from 1 on; None: the first one that is shown
    header_row: int = 1
    visible_only: bool = False  # hidden rows are left out
    encoding: str | None = None  # of a text, by the name of its codec; None: as its bytes show
    separator: str | None = None  # of its cells; None: as its lines show


EVERYTHING = Choice()


@dataclass(slots=True)
class Source:
    """A file that is about to be read as a table."""

    rows: Iterator[Row]
    sheet: str | None = None  # the name of the one that is read; None: it is not a workbook
    sheets: Sequence[str] = ()  # names of all sheets of the workbook, in their order
    shown: Sequence[str] = ()  # of these that are not hidden
    encoding: str | None = None  # of a text, by its codec, once its first row was read
    separator: str | None = None  # of its cells
    # Merged areas such as A2:A3: cells below their first row into which their value was carried, so far.
    carried: dict[str, int] = field(default_factory=dict)
    # Its program left its formulas to be calculated by the next one that opens it: saved values may be old.
    is_uncalculated: bool = False
    is_unstyled: bool = False  # numbers and dates are as they are stored, because formats cannot be read
    remark: str | None = None  # what is not known of a file of its format
    formulas: int = 0  # cells with a saved value that was calculated, read so far

    @property
    def others(self) -> Sequence[str]:
        """The workbook's other sheets."""
        return [name for name in self.sheets if name != self.sheet]

    @property
    def is_workbook(self) -> bool:
        return self.sheet is not None


def coordinate(index: int, row: int) -> str:
    """A cell's name, such as C2; `index` counts the cells of a row from 0."""
    letters, number = "", index + 1
    while number:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{row}"
