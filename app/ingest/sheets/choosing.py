"""Which sheet of a workbook is read."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import BadInput
from app.ingest.values import quoted

LISTED = 20  # sheets that a message names


@dataclass(frozen=True, slots=True)
class Listed:
    """A sheet as the workbook lists it."""

    name: str
    key: str  # of its part
    is_shown: bool


def choose(sheets: Sequence[Listed], wanted: str | None) -> Listed:
    """The sheet of the name (or place) `wanted`, by default the first one that is shown.

    Raises `BadInput` where there is none.
    """
    if wanted is None:
        shown = [sheet for sheet in sheets if sheet.is_shown]
        if not shown:
            raise BadInput("the file has no sheet with cells that is shown: choose a hidden one by its name")
        return shown[0]
    for sheet in sheets:
        if sheet.name == wanted:
            return sheet
    for place, sheet in enumerate(sheets, start=1):
        if wanted.strip().casefold() in (sheet.name.strip().casefold(), str(place)):
            return sheet
    there = ", ".join(quoted(sheet.name) for sheet in sheets[:LISTED])
    raise BadInput(f"sheet: the workbook has no sheet {quoted(wanted)}; it has {there or 'none with cells'}")
