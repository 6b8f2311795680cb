"""Merged areas: the value of one is carried down into the rows that it covers.

A workbook says which cells are merged behind its rows, so the sheet is looked through before it is read.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from app.ingest.sheets.rows import Flaw, Row
from app.ingest.values import is_blank
from app.ingest.xlsx.coordinates import column_number
from app.ingest.xlsx.meter import GAP, Meter

CARRIED = 2  # tags that each area costs in each row that it may cover
TAG = b"mergeCell "
# Its attributes are as short as this; without a bound a block full of such tags would take its square.
AREA = re.compile(
    rb"""<(?:[\w.-]{1,30}:)?mergeCell [^<>]{0,80}?ref=["']([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})["']"""
)
OVERLAP = 200  # bytes in which a tag may be cut between two blocks


class Area(NamedTuple):
    """One that covers several rows."""

    name: str
    column: int  # its first one, from 1 on
    bottom: int


def find_areas(blocks: Iterable[bytes]) -> Mapping[int, set[Area]]:
    """The merged areas of a sheet by their first row, without those of a single row.

    Raises `ValueError` for a column that no sheet has.
    """
    found: dict[int, set[Area]] = defaultdict(set)
    before = b""
    for block in blocks:
        piece = before + block
        if TAG in piece:
            for left, top, right, bottom in AREA.findall(piece):
                if int(top) < int(bottom):
                    name = f"{left.decode()}{int(top)}:{right.decode()}{int(bottom)}"
                    found[int(top)].add(Area(name, column_number(left.decode()), int(bottom)))
        before = piece[-OVERLAP:]
    return found


class _Carried(NamedTuple):
    area: Area
    value: Any
    flaw: Flaw | None


class Carrier:
    """Fills rows in their order; `counts` says for each area how many cells were filled."""

    def __init__(self, areas: Mapping[int, set[Area]], counts: dict[str, int], meter: Meter) -> None:
        self._areas, self._counts, self._meter = areas, counts, meter
        self._carried: dict[int, _Carried] = {}  # by the index of the cell

    def fill(self, row: Row) -> Row:
        """The row, with the values of the areas that it lies in. A row without cells of its own stays so."""
        if self._carried:
            self._meter.take_marks(CARRIED * len(self._carried))
            self._carried = {
                index: held for index, held in self._carried.items() if row.number <= held.area.bottom
            }
            if not all(is_blank(cell) for cell in row.cells):
                row = self._filled(row)
        for area in self._areas.get(row.number, ()):
            self._begin(area, row)
        return row

    def _begin(self, area: Area, row: Row) -> None:
        index = area.column - 1
        value, flaw = row.cells[index] if index < len(row.cells) else "", row.flaws.get(index)
        if flaw is not None or not is_blank(value):
            self._carried[index] = _Carried(area, value, flaw)

    def _filled(self, row: Row) -> Row:
        cells, flaws = list(row.cells), dict(row.flaws)
        for index, (area, value, flaw) in self._carried.items():
            if index < len(cells) and (index in flaws or not is_blank(cells[index])):
                continue
            self._meter.take_marks(max(0, index - len(cells)) // GAP)
            self._meter.take_text(len(value) if isinstance(value, str) else 1)
            cells.extend([""] * (index + 1 - len(cells)))
            cells[index] = value
            if flaw is not None:
                flaws[index] = flaw
            self._counts[area.name] = self._counts.get(area.name, 0) + 1
        return row._replace(cells=cells, flaws=flaws)
