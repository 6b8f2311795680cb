"""Texts that a person pastes, as a table with one column."""

import csv
import io
import re

from app.errors import BadInput

COLUMN = "text"
BY_LINES, BY_BLANK_LINES = "lines", "blank lines"
END = r"\r\n|[\n\r\u2028\u2029]"
PARTED = {BY_LINES: re.compile(END), BY_BLANK_LINES: re.compile(rf"(?:{END})[ \t]*(?:{END})\s*")}


def as_csv(text: str, parted: str) -> bytes:
    """A table of the texts in `text`, which has one a line or is `parted` by blank lines.

    Raises `BadInput` for one without any.
    """
    if parted not in PARTED:
        raise BadInput.of_field("parted", f"give one of {', '.join(PARTED)}")
    texts = [part.strip() for part in PARTED[parted].split(text.replace("\0", ""))]
    rows = [[part] for part in texts if part]
    if not rows:
        raise BadInput.of_field("text", "paste at least one text, or drop a file")
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerows([[COLUMN], *rows])
    return written.getvalue().encode("utf-8", "replace")
