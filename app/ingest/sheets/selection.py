"""Which rows of a table are asked: none that has nothing where the template looks, and no total."""

from collections.abc import Sequence

from app.errors import Fault
from app.ingest.sheets.findings import Findings
from app.ingest.sheets.rows import Flaw, Row, coordinate
from app.ingest.sheets.totals import Totals
from app.ingest.template_hints import stray_place
from app.ingest.templates import Template
from app.ingest.values import is_blank, quoted

ADVICE = {
    Flaw.UNSAVED: "a formula without a saved value: open the file in a spreadsheet and save it",
    Flaw.ERROR: "the error {value}: mend its formula, or clear the cell",
    Flaw.NUL: "a NUL character within its text: export the file again",
}

# What a spreadsheet writes into a CSV where a formula failed; in a workbook it is a fault.
ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"})

# What programs write for a cell without a value; a person may mean it, so it is only told.
NOTHING = frozenset({"\\N", "NULL", "null", "(null)", "NaN", "nan", "NaT", "<NA>", "None"})


class Selection:
    """Judges the rows in their order, and counts in `found` what it finds."""

    def __init__(self, template: Template, columns: Sequence[str], found: Findings) -> None:
        self._columns, self._found = columns, found
        self.used = template.used(columns)
        self._used = {columns.index(column) for column in self.used}
        # Without them the template says what it asks for an empty cell.
        self._needed = {columns.index(column) for column in self.used if template.needs(column)}
        self._totals = Totals()
        found.stray = stray_place(template.source, columns)

    def leaves_out(self, row: Row, *, is_last: bool) -> bool:
        """Whether a row is not asked."""
        is_total = self._totals.look_like(row, is_last=is_last)
        self._totals.note(row.cells)
        blank = {index for index in self._used if self._is_blank(row, index)}
        if (blank or is_total) and self._is_left_out(row, blank, is_total=is_total, is_last=is_last):
            return True
        for index in self._used - blank - row.flaws.keys():
            cell = row.cells[index]
            if not isinstance(cell, str):
                continue
            if cell in ERRORS:
                self._found.errors[self._columns[index]] += 1
            elif cell in NOTHING:
                self._found.nothings[self._columns[index], cell] += 1
        return False

    def _is_left_out(self, row: Row, blank: set[int], *, is_total: bool, is_last: bool) -> bool:
        if blank == self._used and self._needed:
            self._found.blank += 1
            return True
        if is_total:
            return self._leaves_total(row, blank, is_last=is_last)
        for index in blank & self._needed:
            self._found.part_blank[self._columns[index]] += 1
        return False

    def faults(self, row: Row) -> list[Fault]:
        """Of the cells that the template uses, and damaged texts; others are only counted."""
        faults = []
        for index, flaw in row.flaws.items():
            if index >= len(self._columns):
                continue
            if index in self._used or flaw is Flaw.NUL:
                advice = ADVICE[flaw].format(value=row.cells[index])
                where = self._columns[index]
                faults.append(Fault(f"{coordinate(index, row.number)} holds {advice}", where))
            else:
                self._found.flawed[self._columns[index], flaw] += 1
        return faults

    def _leaves_total(self, row: Row, blank: set[int], *, is_last: bool) -> bool:
        """A total is left out if the template looks for texts where it has none."""
        is_left_out = bool(self._used & self._totals.texts & blank)
        if not is_last:
            self._found.subtotals[is_left_out].append(row.number)
            return is_left_out
        what = "not asked" if is_left_out else "asked like the others: delete it if that is not meant"
        first = next((quoted(cell[:60]) for cell in map(str, row.cells) if not is_blank(cell)), "a formula")
        self._found.total = f"row {row.number}, the last one, looks like a total ({first}), and is {what}"
        return is_left_out

    def _is_blank(self, row: Row, index: int) -> bool:
        return index not in row.flaws and (index >= len(row.cells) or is_blank(row.cells[index]))
