"""Files that a tenant uploads to make batches of: one object and one row each.

The row is written before the object and says when the object is whole. What has expired, was deleted or was
never whole is removed by the sweep, the object before its row.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO, NamedTuple

import structlog
from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.accounts import quotas
from app.core.documents import open_store
from app.errors import BadInput, NotFound, Unavailable
from models.base import new_uid, now
from models.file import File
from models.session import in_transaction, reading

AT_ONCE = 500  # objects that one sweep removes in one go
ABANDONED = 86_400.0  # seconds after which no upload is still in progress
DRAFT = "draft"  # the purpose of files that belong to a draft, and are in no list
COUNTED = 86_400.0  # seconds for which an upload counts toward quotas, whatever became of it

log = structlog.get_logger(__name__)


class Again(NamedTuple):
    """By what an upload is found when it is sent again."""

    key: str
    fingerprint: str  # of everything that is uploaded, in hexadecimal digits
    within: int  # seconds since the earlier one, at most


class Upload(NamedTuple):
    """What is uploaded besides the content; `size` is its bytes."""

    name: str
    purpose: str
    size: int
    seconds: int | None  # after which it expires; None: never
    again: Again | None = None


def keep(tenant_id: int, tenant: uuid.UUID, user_id: int, asked: Upload, content: BinaryIO) -> File:
    """Store `content` as a file of the tenant, or find the file that an earlier sending of it made.

    Raises `TooMany` beyond the tenant's quota of bytes, `BadInput` for a key that came with other content,
    `Unavailable` while the store is away.
    """
    announce = partial(
        _announce, tenant_id=tenant_id, tenant=tenant, user_id=user_id, asked=asked, uid=new_uid()
    )
    try:
        file = in_transaction(announce)
    except IntegrityError:  # the same upload, sent at the same time, was first
        file = in_transaction(announce)
    if file.stored_at is None:  # of an earlier sending that has not ended, too: the content is the same
        open_store.store().put(file.key, content)
        in_transaction(partial(_note_stored, uid=file.uid))
    with reading() as session:
        return find(session, tenant_id, file.uid, asked.purpose)


def _announce(
    session: Session, tenant_id: int, tenant: uuid.UUID, user_id: int, asked: Upload, uid: uuid.UUID
) -> File:
    """The row of an upload: that of an earlier sending if there is one, else a new one."""
    there = session.scalars(select(File).where(File.uid == uid)).one_or_none()
    if there is not None:
        return there  # a COMMIT whose response was lost
    if asked.again is not None:
        earlier = _earlier(session, tenant_id, asked.again)
        if earlier is not None:
            return earlier
        _forget_key(session, tenant_id, asked.again.key)
    quotas.admit(session, tenant_id, 0, asked.size)
    file = File(
        uid=uid,
        tenant_id=tenant_id,
        user_id=user_id,
        key=f"files/{tenant}/{uid}",
        name=asked.name,
        purpose=asked.purpose,
        bytes=asked.size,
        expires_at=None if asked.seconds is None else session.scalar(select(now(asked.seconds))),
        repeat_key=None if asked.again is None else asked.again.key,
        fingerprint=None if asked.again is None else asked.again.fingerprint,
    )
    session.add(file)
    session.flush()
    return file


def _earlier(session: Session, tenant_id: int, again: Again) -> File | None:
    """The file that an earlier sending made, unless it is gone; it may not be whole yet."""
    is_recent = File.created_at > now(-again.within)
    these = (File.tenant_id == tenant_id, File.repeat_key == again.key, is_recent, *_NOT_GONE)
    file = session.scalars(select(File).where(*these)).one_or_none()
    if file is not None and file.fingerprint != again.fingerprint:
        raise BadInput(
            f"The Idempotency-Key {again.key!r} was used for another file: use a new key for new content."
        )
    return file


def _forget_key(session: Session, tenant_id: int, key: str) -> None:
    """Of equal uploads the last one is found from now on."""
    these = (File.tenant_id == tenant_id, File.repeat_key == key)
    session.execute(update(File).where(*these).values(repeat_key=None))


def find(session: Session, tenant_id: int, uid: uuid.UUID, purpose: str | None = None) -> File:
    """The tenant's file, if it can still be read; raises `NotFound`. One of a draft only as such."""
    file = session.scalars(select(File).where(File.uid == uid, *_readable(tenant_id))).one_or_none()
    if file is None or (file.purpose == DRAFT and purpose != DRAFT):
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
    statement = select(File).where(*_readable(tenant_id), File.purpose != DRAFT).limit(limit)
    if purpose is not None:
        statement = statement.where(File.purpose == purpose)
    if after is not None:
        statement = statement.where(File.uid > after if oldest_first else File.uid < after)
    return list(session.scalars(statement.order_by(File.uid if oldest_first else File.uid.desc())))


def copy(file: File, to: BinaryIO) -> None:
    """Write the file's content into the empty file `to`, piece by piece; raises `NotFound`, `Unavailable`."""
    open_store.store().copy(file.key, to)


@contextmanager
def opened(file: File) -> Iterator[BinaryIO]:
    """The file's content, to be read and sought; raises `NotFound`, `Unavailable`."""
    with open_store.store().open(file.key) as content:
        yield content


def prolong(session: Session, tenant_id: int, uids: Sequence[uuid.UUID], seconds: int) -> None:
    """Let the tenant's files expire so many seconds from now; 0: at once."""
    these = (File.tenant_id == tenant_id, File.uid.in_(uids))
    session.execute(update(File).where(*these).values(expires_at=now(seconds)))


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


def _forget(session: Session) -> None:
    session.execute(delete(File).where(File.removed_at.is_not(None), File.created_at <= now(-COUNTED)))


def _readable(tenant_id: int) -> tuple[ColumnElement[bool], ...]:
    return (
        File.tenant_id == tenant_id,
        File.stored_at.is_not(None),
        *_NOT_GONE,
    )


_NOT_GONE = (File.removed_at.is_(None), or_(File.expires_at.is_(None), File.expires_at > now()))


def _is_due() -> ColumnElement[bool]:
    """Whether a file still has an object that nobody may read."""
    never_whole = and_(File.stored_at.is_(None), File.created_at <= now(-ABANDONED))
    return and_(File.removed_at.is_(None), or_(File.expires_at <= now(), never_whole))
