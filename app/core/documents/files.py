"""Files that a tenant uploads to make batches of: one object and one row each.

The row is written before the object and says when the object is whole. What has expired, was deleted or was
never whole is removed by the sweep, the object before its row.
"""

import uuid
from functools import partial
from typing import BinaryIO, NamedTuple

import structlog
from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from app.core.accounts import quotas
from app.core.documents import open_store
from app.errors import NotFound, Unavailable
from models.base import new_uid, now
from models.file import File
from models.session import in_transaction, reading

AT_ONCE = 500  # objects that one sweep removes in one go
ABANDONED = 86_400.0  # seconds after which no upload is still in progress
COUNTED = 86_400.0  # seconds for which an upload counts toward quotas, whatever became of it

log = structlog.get_logger(__name__)


class Upload(NamedTuple):
    """What is uploaded besides the content; `size` is its bytes."""

    name: str
    purpose: str
    size: int
    seconds: int | None  # after which it expires; None: never


def keep(
    tenant_id: int, tenant: uuid.UUID, user_id: int, asked: Upload, content: BinaryIO, uid: uuid.UUID
) -> File:
    """Store `content` as the tenant's file `uid`.

    Raises `TooMany` beyond the tenant's quota of bytes, `Unavailable` while the store is away.
    """
    key = f"files/{tenant}/{uid}"

    def announce(session: Session) -> None:
        if session.scalar(select(File.id).where(File.uid == uid)) is not None:
            return  # a COMMIT whose response was lost
        quotas.admit(session, tenant_id, 0, asked.size)
        session.add(
            File(
                uid=uid,
                tenant_id=tenant_id,
                user_id=user_id,
                key=key,
                name=asked.name,
                purpose=asked.purpose,
                bytes=asked.size,
                expires_at=None if asked.seconds is None else session.scalar(select(now(asked.seconds))),
            )
        )

    in_transaction(announce)
    open_store.store().put(key, content)
    in_transaction(partial(_note_stored, uid=uid))
    with reading() as session:
        return find(session, tenant_id, uid)


def new_name() -> uuid.UUID:
    """The uid of a file that is yet to be stored: files sort by it in the order of their uploads."""
    return new_uid()


def find(session: Session, tenant_id: int, uid: uuid.UUID) -> File:
    """The tenant's file, if it can still be read; raises `NotFound`."""
    file = session.scalars(select(File).where(File.uid == uid, *_readable(tenant_id))).one_or_none()
    if file is None:
        raise NotFound(f"there is no file {uid}: it may have expired, or been deleted")
    return file


def page(
    session: Session,
    tenant_id: int,
    *,
    after: uuid.UUID | None,
    limit: int,
    oldest_first: bool,
    purpose: str | None,
) -> list[File]:
    """Up to `limit` of the tenant's files in the order of their uploads, from behind `after` on."""
    statement = select(File).where(*_readable(tenant_id)).limit(limit)
    if purpose is not None:
        statement = statement.where(File.purpose == purpose)
    if after is not None:
        statement = statement.where(File.uid > after if oldest_first else File.uid < after)
    return list(session.scalars(statement.order_by(File.uid if oldest_first else File.uid.desc())))


def copy(file: File, to: BinaryIO) -> None:
    """Write the file's content into the empty file `to`, piece by piece; raises `NotFound`, `Unavailable`."""
    open_store.store().copy(file.key, to)


def remove(tenant_id: int, uid: uuid.UUID) -> None:
    """Remove the tenant's file: nobody can read it from now on. Raises `NotFound`."""

    def end(session: Session) -> File:
        file = find(session, tenant_id, uid)
        file.expires_at = session.scalar(select(now()))
        session.flush()
        return file

    file = in_transaction(end)
    try:
        _remove_objects([file])
    except Unavailable as error:
        log.warning("file.left", file=str(uid), reason=error.message)  # for the sweep to remove


def remove_due() -> int:
    """Remove the objects of files that are gone, and rows that no quota needs; returns how many objects.

    Raises `Unavailable` while the store is away.
    """
    with reading() as session:
        due = list(session.scalars(select(File).where(_is_due()).order_by(File.id).limit(AT_ONCE)))
    if due:
        _remove_objects(due)
    in_transaction(_forget)
    return len(due)


def _remove_objects(files: list[File]) -> None:
    open_store.store().delete([file.key for file in files])
    in_transaction(partial(_note_removed, ids=[file.id for file in files]))


def _note_stored(session: Session, uid: uuid.UUID) -> None:
    session.execute(update(File).where(File.uid == uid).values(stored_at=now()))


def _note_removed(session: Session, ids: list[int]) -> None:
    session.execute(update(File).where(File.id.in_(ids)).values(removed_at=now()))


def _forget(session: Session) -> int:
    gone = session.execute(delete(File).where(File.removed_at.is_not(None), File.created_at <= now(-COUNTED)))
    assert isinstance(gone, CursorResult)
    return gone.rowcount


def _readable(tenant_id: int) -> tuple[ColumnElement[bool], ...]:
    return (
        File.tenant_id == tenant_id,
        File.stored_at.is_not(None),
        File.removed_at.is_(None),
        or_(File.expires_at.is_(None), File.expires_at > now()),
    )


def _is_due() -> ColumnElement[bool]:
    """Whether a file still has an object that nobody may read."""
    never_whole = and_(File.stored_at.is_(None), File.created_at <= now(-ABANDONED))
    return and_(File.removed_at.is_(None), or_(File.expires_at <= now(), never_whole))
