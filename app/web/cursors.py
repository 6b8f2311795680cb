"""Where the next page begins, in an opaque form."""

import base64
import binascii
import datetime as dt
import uuid
from collections.abc import Callable

from app.core.money.usage import Grouping, Key
from app.errors import BadInput
from app.ingest.values import whole_number


def write(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).rstrip(b"=").decode()


def job_before(cursor: str | None) -> uuid.UUID | None:
    """The last job of the previous page."""
    try:
        return None if cursor is None else uuid.UUID(_read(cursor))
    except ValueError:
        raise _unknown(cursor) from None


def index_after(cursor: str | None) -> int | None:
    """The index of the last record of the previous page."""
    return _number(cursor, 2**31)


def number_before(cursor: str | None) -> int | None:
    """The number of the last row of the previous page."""
    return _number(cursor, 2**63)


def _number(cursor: str | None, end: int) -> int | None:
    if cursor is None:
        return None
    try:
        number = whole_number(_read(cursor))
    except ValueError:
        raise _unknown(cursor) from None
    if number is None or not 0 <= number < end:
        raise _unknown(cursor)
    return number


def group_after(group_by: Grouping, cursor: str | None) -> Key | None:
    """The last usage group of the previous page."""
    read: dict[Grouping, Callable[[str], Key]] = {
        "model": _name,
        "day": dt.date.fromisoformat,
        "job": uuid.UUID,
        "user": _name,
    }
    try:
        return None if cursor is None else read[group_by](_read(cursor))
    except ValueError:
        raise _unknown(cursor) from None


def _name(name: str) -> str:
    if not name or "\0" in name:
        raise ValueError(name)
    return name


def _read(cursor: str) -> str:
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        return base64.urlsafe_b64decode(padded.encode()).decode()
    except (binascii.Error, UnicodeError) as error:
        raise ValueError from error


def _unknown(cursor: str | None) -> BadInput:
    return BadInput(
        "the cursor is not valid: use `next_cursor` of the previous page",
        [{"where": "cursor", "message": f"found {cursor!r}"}],
    )
