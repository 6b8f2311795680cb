"""What the owner of a table should know of how it was read, in sentences. Nothing is left out in silence."""

from collections import Counter
from collections.abc import Iterator, Sequence

from app.ingest.sheets.rows import Choice, Flaw, Source
from app.ingest.values import quoted

NAMED = 5  # columns, sheets, cells that a sentence names
CHOOSES = "`sheet` (--sheet) chooses"


class Findings:
    """Counts what is found while a table is read."""

    def __init__(self) -> None:
        self.rows = 0  # with something in them
        self.hidden = 0  # of these
        self.unnamed: Sequence[str] = ()
        self.blank = 0  # rows that were not asked, because all that the template uses is blank
        self.repeated = 0  # rows that are the header again
        self.part_blank: Counter[str] = Counter()  # by column: rows that were asked without it
        self.errors: Counter[str] = Counter()  # by column: rows that were asked with the text of an error
        self.nothings: Counter[tuple[str, str]] = Counter()  # by column and word: rows asked with it
        self.flawed: Counter[tuple[str, Flaw]] = Counter()  # cells that the template does not use
        self.total: str | None = None  # what is said of the last row
        # Numbers of other rows that look like totals, by whether they are left out.
        self.subtotals: dict[bool, list[int]] = {True: [], False: []}
        self.stray: str | None = None  # what looks like a place for a column in the template, and is none

    def sentences(self, source: Source, choice: Choice, used: Sequence[str]) -> list[str]:
        """All that there is to say; `used` are the columns that the template uses."""
        found = [
            self.stray,
            which_sheet(source) or None,
            self._hidden(choice),
            _merged(source),
            self._unnamed(),
            self._repeated(),
            self._blank(used),
            *self._part_blank(),
            *self._errors(),
            *self._nothings(),
            *self._subtotals(),
            self.total,
            *self._flawed(),
            _uncalculated(source),
            _unstyled(source),
            source.remark,
        ]
        return [sentence for sentence in found if sentence is not None]

    def _hidden(self, choice: Choice) -> str | None:
        if not self.hidden:
            return None
        are = "1 is" if self.hidden == 1 else f"{self.hidden:,} are"
        hidden = f"of {self.rows:,} rows {are} hidden"
        if choice.visible_only:
            return f"{hidden} and left out"
        return (
            f"{hidden}, and asked like the others: visible_only=true (--visible-only) leaves hidden rows out"
        )

    def _unnamed(self) -> str | None:
        if not self.unnamed:
            return None
        names = _listed(self.unnamed)
        if len(self.unnamed) == 1:
            return f"a column has no name in the header and is called {names}"
        return f"{len(self.unnamed):,} columns have no name in the header and are called {names}"

    def _repeated(self) -> str | None:
        if not self.repeated:
            return None
        rows = "1 row repeats" if self.repeated == 1 else f"{self.repeated:,} rows repeat"
        return f"{rows} the header and {_are(self.repeated)} not asked"

    def _blank(self, used: Sequence[str]) -> str | None:
        if not self.blank:
            return None
        return f"{_rows_have(self.blank)} nothing in {_listed(used)} and {_are(self.blank)} not asked"

    def _part_blank(self) -> list[str]:
        return [
            f"{_rows_have(count)} nothing in {quoted(column)} and {_are(count)} asked without it"
            for column, count in self.part_blank.most_common(NAMED)
        ]

    def _errors(self) -> list[str]:
        return [
            f"{_rows_have(count)} the error of a formula, such as #N/A, in"
            f" {quoted(column)} and {_are(count)} asked with it"
            for column, count in self.errors.most_common(NAMED)
        ]

    def _nothings(self) -> list[str]:
        return [
            f"{_rows_have(count)} {quoted(word)} in {quoted(column)}, which some programs write for an empty"
            f" cell, and {_are(count)} asked with it"
            for (column, word), count in self.nothings.most_common(NAMED)
        ]

    def _subtotals(self) -> Iterator[str]:
        for is_left_out, numbers in self.subtotals.items():
            if not numbers:
                continue
            count, named = len(numbers), ", ".join(f"{number:,}" for number in numbers[:NAMED])
            more = f" and {count - NAMED:,} more" if count > NAMED else ""
            look = f"row {named} looks" if count == 1 else f"rows {named}{more} look"
            likeness = "like a total" if count == 1 else "like totals"
            asked = "not asked" if is_left_out else "asked like the others"
            yield f"{look} {likeness}, and {_are(count)} {asked}"

    def _flawed(self) -> list[str]:
        """Of columns that the template does not use; what it uses is a fault."""
        return [
            f"column {quoted(column)}: {count:,} {'cell holds' if count == 1 else 'cells hold'} {flaw.value};"
            " the template does not use it"
            for (column, flaw), count in self.flawed.most_common(NAMED)
        ]


def which_sheet(source: Source, before: str = "") -> str:
    """Which sheet of several is read, with `before` before it; nothing where there is no other."""
    if source.sheet is None or not source.others:
        return ""
    read = f"the sheet {quoted(source.sheet)} is read"
    return f"{before}{read}; the workbook also has {_listed(source.others)}: {CHOOSES}"


def _merged(source: Source) -> str | None:
    if not source.carried:
        return None
    count, cells = len(source.carried), sum(source.carried.values())
    names = ", ".join(list(source.carried)[:NAMED]) + (
        f" and {count - NAMED:,} more" if count > NAMED else ""
    )
    into = "1 cell" if cells == 1 else f"{cells:,} cells"
    return f"what stands in merged cells ({names}) is carried down into {into} below"


def _uncalculated(source: Source) -> str | None:
    if not (source.is_uncalculated and source.formulas):
        return None
    were = "1 formula was" if source.formulas == 1 else f"{source.formulas:,} formulas were"
    return (
        f"{were} not calculated by the program that wrote the workbook, so what is saved may be wrong:"
        " open and save it in a spreadsheet"
    )


def _unstyled(source: Source) -> str | None:
    if not source.is_unstyled:
        return None
    return (
        "the formats of the workbook cannot be read, so dates are numbers of days, and numbers are as they"
        " are stored: open and save it in a spreadsheet"
    )


def _rows_have(count: int) -> str:
    return "1 row has" if count == 1 else f"{count:,} rows have"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(quoted(name[:60]) for name in names[:NAMED]) + more
