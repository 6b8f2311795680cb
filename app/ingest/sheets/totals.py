"""Rows of totals, at the end of a table or of a group: no question about the other rows is one about them."""

import re
from collections.abc import Sequence
from typing import Any

from app.ingest.sheets.header import is_number
from app.ingest.sheets.rows import Flaw, Row
from app.ingest.values import is_blank

LOOKED_AT = 100  # rows that show which columns hold texts
WORD = re.compile(
    r"(?:(?:grand|sub|running)[\s-]?)?totals?\b|sum\b|(?:gesamt|zwischen|end)?summen?\b|gesamt\b|insgesamt\b"
    r"|(?:gesamt|teil)?ergebnis\b|totale?\b|totaux\b|somm[ae]\b|ensemble\b|suma\b|razem\b|(?:eind)?totaal\b"
    r"|totalsumm?a?\b|totalt\b|summa\b|(?:kaikki )?yhteensä\b|i alt\b|hovedtotal\b|(?:genel )?toplam\b"
    r"|celkem\b|celkový součet\b|összesen\b|végösszeg\b|(?:общий )?итог[ои]?\b|всего\b"
    r"|合计|总计|總計|合計|総計|합계|총합계"
    r"|average\b|mean\b|median\b|durchschnitt\b|mittelwert\b|mittel\b|moyenne\b|medi[ao]\b|média\b|promedio\b"
    r"|gemiddelde\b|medel(?:värde)?\b|gjennomsnitt\b|gennemsnit\b|keskiarvo\b|średnia\b|průměr\b|átlag\b"
    r"|ortalama\b|среднее\b|平均|평균",
    re.IGNORECASE,
)
OF_GROUP = re.compile(r"\S.*\s(?:total|subtotal|ergebnis|summe|average|mittelwert):?", re.IGNORECASE)
LONGEST_WORD = 40  # characters


class Totals:
    """Knows from the rows above what the last one is."""

    def __init__(self) -> None:
        self.texts: set[int] = set()  # indices of columns that hold texts
        self._rows = 0

    def note(self, cells: Sequence[Any]) -> None:
        """Look at a row above."""
        if self._rows < LOOKED_AT:
            self._rows += 1
            self.texts.update(index for index, cell in enumerate(cells) if _is_text(cell))

    def look_like(self, row: Row, *, is_last: bool) -> bool:
        """Whether a row has numbers, and nothing else but the word for it where those above have texts.

        In the last row the word may be missing. A formula without a saved value, or with an error, stands for
        a number.
        """
        if not is_last and not self._may_be_of_group(row.cells):
            return False  # as nearly all rows are, at once
        filled = {index: cell for index, cell in enumerate(row.cells) if not is_blank(cell)}
        formulas = {index for index, flaw in row.flaws.items() if flaw is not Flaw.NUL}
        others = [cell for index, cell in filled.items() if index not in formulas]
        words, numbers = sum(map(_is_word, others)), sum(map(is_number, others))
        has_numbers = numbers > 0 or bool(formulas)
        if not (has_numbers and self.texts) or words + numbers != len(others):
            return False
        lacks_all = self._rows > 1 and not self.texts & filled.keys()
        return lacks_all or (words > 0 and (is_last or not self.texts <= filled.keys()))

    def _may_be_of_group(self, cells: Sequence[Any]) -> bool:
        """Whether a row has an empty cell, and the first one with something in it is the word for a total."""
        if "" not in cells and len(cells) > max(self.texts, default=0):
            return False
        first = next((cell for cell in cells if not is_blank(cell)), None)
        return _is_word(first)


def _is_text(cell: Any) -> bool:
    return isinstance(cell, str) and not is_blank(cell) and not is_number(cell)


def _is_word(cell: Any) -> bool:
    if not isinstance(cell, str) or len(cell) > LONGEST_WORD:
        return False
    text = cell.strip()
    return WORD.match(text) is not None or (" " in text and OF_GROUP.fullmatch(text) is not None)
