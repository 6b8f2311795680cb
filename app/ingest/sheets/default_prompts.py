"""What is asked where only the fields of an answer are given: to fill them in from the row or document."""

import re
from collections.abc import Sequence

from app.ingest.template_hints import place

OF_DOCUMENT = "Fill in the fields of the answer from this document."
OF_ROW = "Fill in the fields of the answer from this row of a table.\n\n"
MOST = 200  # columns

# Names of columns that only say which row it is: rows that differ in nothing else ask the same.
_WORD = re.compile(r"(?:.*[\s_.-])?(?:id|uuid|guid|nr|no|index)\.?|#|number|nummer", re.IGNORECASE)
_CAMEL = re.compile(r".*[a-z](?:Id|ID|Nr|No)")
_BRACES = re.compile(r"[{}%#]")


def of_row(columns: Sequence[str]) -> str:
    """A template for the rows of a table with these columns: each that has something in it, with its name."""
    return OF_ROW + "".join(map(_line, asked(columns)))


def asked(columns: Sequence[str]) -> Sequence[str]:
    """The columns that say something of the row, rather than which one it is."""
    return [column for column in columns if not _is_identity(column)] or columns


def _is_identity(column: str) -> bool:
    return bool(_WORD.fullmatch(column) or _CAMEL.fullmatch(column))


def _line(column: str) -> str:
    named = place(column)
    return f"{{% if {named[3:-3]} %}}{_BRACES.sub(' ', column)}: {named}\n{{% endif %}}"
