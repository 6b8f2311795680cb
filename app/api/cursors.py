"""Where the next page begins, in a form that nobody should read anything into."""

import base64
import binascii
import uuid

from app.errors import BadInput


def write(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).rstrip(b"=").decode()


def job_before(cursor: str | None) -> uuid.UUID | None:
    """The job that the page before ended with."""
    try:
        return None if cursor is None else uuid.UUID(_read(cursor))
    except ValueError:
        raise _unknown(cursor) from None


def index_after(cursor: str | None) -> int | None:
    """The index of the record that the page before ended with."""
    try:
        index = None if cursor is None else int(_read(cursor))
    except ValueError:
        raise _unknown(cursor) from None
    if index is not None and not 0 <= index < 2**31:
        raise _unknown(cursor)
    return index


def _read(cursor: str) -> str:
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        return base64.urlsafe_b64decode(padded.encode()).decode()
    except (binascii.Error, UnicodeError) as error:
        raise ValueError from error


def _unknown(cursor: str | None) -> BadInput:
    return BadInput(
        "the cursor is none of ours: give `next_cursor` of the page before",
        [{"where": "cursor", "message": f"found {cursor!r}"}],
    )
