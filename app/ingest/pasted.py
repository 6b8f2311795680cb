"""Texts that a person pastes, as a table with one column."""

import csv
import io
import re

from app.errors import BadInput, TooLarge

COLUMN = "text"
LONGEST = 1_000_000  # characters: each of them can be a text of its own, and takes a hundred times the space
BY_LINES, BY_BLANK_LINES = "lines", "blank lines"
END = r"\r\n|\r(?!\n)|[\n\u2028\u2029]"  # one end of a line is never taken for two
PARTED = {BY_LINES: re.compile(END), BY_BLANK_LINES: re.compile(rf"(?:{END})[ \t]*(?:{END})\s*")}


def as_csv(text: str, parted: str) -> bytes:
    """A table of the texts in `text`, which has one a line or is `parted` by blank lines.

    Raises `BadInput` for one without any, and `TooLarge`.
    """
    if parted not in PARTED:
        raise BadInput.of_field("parted", f"give one of {', '.join(PARTED)}")
    if len(text) > LONGEST:
        raise TooLarge(
            f"{len(text):,} characters were pasted, and at most {LONGEST:,} are taken: save them as a file,"
            " and drop that"
        )
    texts = [part.strip() for part in PARTED[parted].split(text.replace("\0", ""))]
    rows = [[part] for part in texts if part]
    if not rows:
        raise BadInput.of_field("text", "paste at least one text, or drop a file")
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerows([[COLUMN], *rows])
    return written.getvalue().encode("utf-8", "replace")
