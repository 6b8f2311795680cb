"""A row of totals at the end of a table: it answers to no question that is asked of the rows above."""

import re
from collections.abc import Sequence
from typing import Any

from app.ingest.sheets.header import is_number
from app.ingest.values import is_blank

LOOKED_AT = 100  # rows that show which columns hold texts
WORD = re.compile(
    r"(?:(?:grand|sub|running)[\s-]?)?totals?\b|sum\b|(?:gesamt|zwischen|end)?summen?\b|gesamt\b|insgesamt\b"
    r"|(?:gesamt|teil)?ergebnis\b|totale?\b|totaux\b|somm[ae]\b|ensemble\b|suma\b|razem\b|(?:eind)?totaal\b"
    r"|totalsumm?a?\b|totalt\b|summa\b|(?:kaikki )?yhteensä\b|i alt\b|hovedtotal\b|(?:genel )?toplam\b"
    r"|celkem\b|celkový součet\b|összesen\b|végösszeg\b|(?:общий )?итог[ои]?\b|всего\b"
    r"|合计|总计|總計|合計|総計|합계|총합계",
    re.IGNORECASE,
)
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

    def look_like(self, cells: Sequence[Any]) -> bool:
        """Whether a row has numbers, and nothing else but the word for it where those above have texts."""
        filled = {index: cell for index, cell in enumerate(cells) if not is_blank(cell)}
        words = sum(map(_is_word, filled.values()))
        numbers = sum(map(is_number, filled.values()))
        has_nothing_else = self._rows > 1 and not self.texts & filled.keys()
        return bool(numbers and self.texts and words + numbers == len(filled) and (words or has_nothing_else))


def _is_text(cell: Any) -> bool:
    return isinstance(cell, str) and not is_blank(cell) and not is_number(cell)


def _is_word(cell: Any) -> bool:
    return isinstance(cell, str) and len(cell) <= LONGEST_WORD and WORD.match(cell.strip()) is not None
