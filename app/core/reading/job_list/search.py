"""Finding jobs by what a person remembers of them: a piece of the name or label, or how the id begins."""

import re
import uuid

from sqlalchemy import ColumnElement, func, or_

from app.core import batch_ids
from app.ingest.values import as_line
from models.job import Job, folded

LONGEST = 200  # characters
ID_DIGITS = 8  # of an id are needed: all ids of a day begin with the same five

_ID = re.compile(rf"(?:(?:{batch_ids.MESSAGE_BATCH}|{batch_ids.BATCH})_)?([0-9a-f-]{{{ID_DIGITS},36}})")


def tidied(text: str) -> str:
    """What was typed, on one line, without what nobody sees."""
    return " ".join(as_line(text, " ").split())[:LONGEST]


def where(text: str) -> tuple[ColumnElement[bool], ...]:
    """What is true of the jobs that `text` finds; nothing is asked of them by an empty one."""
    wanted = folded(tidied(text))
    if not wanted:
        return ()
    found = [_text().contains(wanted, autoescape=True)]
    between = ids_beginning_with(wanted)
    if between is not None:
        found.append(Job.uid.between(*between))
    return (or_(*found),)


def ids_beginning_with(text: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    """The first and the last id that begins so, in any form; None for what is no beginning of an id."""
    written = _ID.fullmatch(text)
    digits = "" if written is None else written[1].replace("-", "")
    if not ID_DIGITS <= len(digits) <= 32:
        return None
    return uuid.UUID(digits.ljust(32, "0")), uuid.UUID(digits.ljust(32, "f"))


def _text() -> ColumnElement[str]:
    """Jobs of an earlier release have only their name; ASCII is compared without case in any database."""
    return func.coalesce(Job.search_text, func.lower(Job.name), "")
