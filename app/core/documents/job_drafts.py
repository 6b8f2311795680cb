"""Drafts of jobs: the files that a user has dropped on the page, and what is typed beside them.

The files are files of the tenant like those uploaded elsewhere: they count toward its quotas, and the sweep
removes each object before its row. A draft lives for a week after its last change.
"""

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, NamedTuple

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from app.core.documents import files
from app.errors import NotFound, TooLarge
from app.ingest.values import as_line, to_json
from models.base import new_uid, now
from models.draft import JobDraft as DraftRow
from models.session import in_transaction, reading

KEPT = 7 * 86_400  # seconds after the last change
MOST = 20  # of a user; the one that was left alone for longest goes
MAX_FIELD_BYTES = 1_000_000  # all that is typed
AT_ONCE = 100  # drafts that one sweep removes

DOCUMENTS = "documents"  # the format of a draft of several files


class Part(NamedTuple):
    """One file; `size` is its bytes."""

    name: str
    content: BinaryIO
    size: int


@dataclass(frozen=True, slots=True)
class JobDraft:
    """A draft as it was left."""

    uid: uuid.UUID
    name: str  # of its file, or of the first of several
    format: str  # of its file; DOCUMENTS for several
    files: Sequence[Mapping[str, Any]]  # `uid`, `name` and `bytes` of each
    fields: Mapping[str, Any]  # as they were typed
    tried: uuid.UUID | None  # the job of its first rows
    updated_at: dt.datetime

    @property
    def bytes(self) -> int:
        return sum(file["bytes"] for file in self.files)


def keep(
    tenant_id: int,
    tenant: uuid.UUID,
    user_id: int,
    *,
    format: str,
    parts: Sequence[Part],
    fields: Mapping[str, Any],
) -> JobDraft:
    """Store files as a new draft of the user. Raises as `files.keep` does, and `TooLarge`."""
    _check(fields)
    kept = []
    for part in parts:
        upload = files.Upload(named(part.name), files.DRAFT, part.size, KEPT)
        kept.append(files.keep(tenant_id, tenant, user_id, upload, part.content))
    draft = partial(
        DraftRow,
        uid=new_uid(),
        tenant_id=tenant_id,
        user_id=user_id,
        name=named(parts[0].name),
        format=format,
        files=[{"uid": str(file.uid), "name": file.name, "bytes": file.bytes} for file in kept],
        fields=dict(fields),
    )
    return in_transaction(lambda session: _insert(session, draft()))


def find(session: Session, tenant_id: int, user_id: int, uid: uuid.UUID) -> JobDraft:
    """The user's draft; raises `NotFound`."""
    return _view(_row(session, tenant_id, user_id, uid))


def latest(session: Session, tenant_id: int, user_id: int) -> list[JobDraft]:
    """The user's drafts, the one that was changed last first."""
    return list(map(_view, _rows(session, tenant_id, user_id)))


def change(tenant_id: int, user_id: int, uid: uuid.UUID, **values: Any) -> JobDraft:
    """Set columns of the user's draft, such as its `fields`; raises `NotFound` and `TooLarge`."""
    _check(values.get("fields", {}))

    def work(session: Session) -> JobDraft:
        draft = _row(session, tenant_id, user_id, uid)
        session.execute(update(DraftRow).where(DraftRow.id == draft.id).values(**values, updated_at=now()))
        files.prolong(session, tenant_id, _files(draft), KEPT)
        session.refresh(draft)
        return _view(draft)

    return in_transaction(work)


def remove(tenant_id: int, user_id: int, uid: uuid.UUID) -> None:
    """Remove the user's draft and let its files expire; none is no error."""

    def work(session: Session) -> None:
        found = session.scalars(select(DraftRow).where(*_own(tenant_id, user_id, uid))).all()
        _drop(session, found)

    in_transaction(work)


def remove_due() -> int:
    """Remove the drafts that were left alone; returns how many."""

    def work(session: Session) -> int:
        these = select(DraftRow).where(DraftRow.updated_at <= now(-KEPT))
        found = session.scalars(these.order_by(DraftRow.updated_at).limit(AT_ONCE)).all()
        _drop(session, found)
        return len(found)

    return in_transaction(work)


@contextmanager
def opened(tenant_id: int, draft: JobDraft, place: int = 0) -> Iterator[BinaryIO]:
    """One of its files, to be read and sought; raises `NotFound`, `Unavailable`."""
    with opened_file(tenant_id, draft.files[place]["uid"]) as content:
        yield content


@contextmanager
def opened_file(tenant_id: int, uid: str) -> Iterator[BinaryIO]:
    """The same by the id of the file."""
    with reading() as session:
        file = files.find(session, tenant_id, uuid.UUID(uid), purpose=files.DRAFT)
    with files.opened(file) as content:
        yield content


def named(name: str) -> str:
    """A file's name as a database takes it, and as the name of a job."""
    return as_line(name.replace("\\", "/").rpartition("/")[2])[:255] or "file"


def _row(session: Session, tenant_id: int, user_id: int, uid: uuid.UUID) -> DraftRow:
    draft = session.scalars(select(DraftRow).where(*_own(tenant_id, user_id, uid))).one_or_none()
    if draft is None:
        raise NotFound(
            "there is no such draft: it was submitted, removed, or left alone for a week; drop the file again"
        )
    return draft


def _rows(session: Session, tenant_id: int, user_id: int) -> list[DraftRow]:
    own = (DraftRow.user_id == user_id, DraftRow.tenant_id == tenant_id)
    return list(session.scalars(select(DraftRow).where(*own).order_by(DraftRow.updated_at.desc())))


def _view(row: DraftRow) -> JobDraft:
    return JobDraft(row.uid, row.name, row.format, row.files, row.fields, row.tried, row.updated_at)


def _insert(session: Session, draft: DraftRow) -> JobDraft:
    there = session.scalars(select(DraftRow).where(DraftRow.uid == draft.uid)).one_or_none()
    if there is not None:
        return _view(there)  # a COMMIT whose response was lost
    session.add(draft)
    session.flush()
    own = _rows(session, draft.tenant_id, draft.user_id)
    _drop(session, [one for one in own if one.id != draft.id][MOST - 1 :])
    session.refresh(draft)
    return _view(draft)


def _drop(session: Session, drafts: Sequence[DraftRow]) -> None:
    for draft in drafts:
        files.prolong(session, draft.tenant_id, _files(draft), 0)
    session.execute(delete(DraftRow).where(DraftRow.id.in_([draft.id for draft in drafts])))


def _files(draft: DraftRow) -> list[uuid.UUID]:
    return [uuid.UUID(file["uid"]) for file in draft.files]


def _own(tenant_id: int, user_id: int, uid: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return DraftRow.uid == uid, DraftRow.tenant_id == tenant_id, DraftRow.user_id == user_id


def _check(fields: Mapping[str, Any]) -> None:
    size = len(to_json(dict(fields)))
    if size > MAX_FIELD_BYTES:
        raise TooLarge(
            f"the prompt and the other fields have {size:,} bytes; the limit is {MAX_FIELD_BYTES:,}: put long"
            " texts into the file"
        )
