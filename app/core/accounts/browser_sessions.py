"""Signing browsers in: a random token in a cookie, of which only the SHA-256 is stored."""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from models.base import now
from models.tenant import ApiKey, BrowserSession

LASTS = 7 * 86_400.0  # seconds from signing in, whatever is done meanwhile
INVITES = 60.0  # seconds for which a link signs somebody in
LONGEST_NOTICE = 1_000  # characters


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a session acts for: a stored key, or the SHA-256 of one in API_KEYS, or whoever needs no key."""

    key_id: int | None = None
    key_sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A session that has not ended, and what its next page tells."""

    holder: Holder
    notice: str | None


def begin(session: Session, holder: Holder, before: str | None = None) -> str:
    """Begin a session in place of that with the token `before`, if there is one, whose cookie will be gone.

    Returns its token, which is stored nowhere.
    """
    if before is not None:
        end(session, before)
    return _insert(session, holder, LASTS, is_invitation=False)


def find(session: Session, token: str) -> Found | None:
    row = session.scalar(select(BrowserSession).where(*_is(token)))
    return None if row is None else Found(Holder(row.key_id, row.key_sha256), row.notice)


def end(session: Session, token: str) -> None:
    """End the session, in every tab and process that has its cookie."""
    session.execute(delete(BrowserSession).where(BrowserSession.token_sha256 == _digest(token)))


def invite(session: Session, prefix: str) -> str | None:
    """The token of a link that signs a browser in, once, with the key of this prefix; None: it is no key."""
    key_id = session.scalar(select(ApiKey.id).where(ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None)))
    return None if key_id is None else _insert(session, Holder(key_id), INVITES, is_invitation=True)


def accept(session: Session, token: str, before: str | None = None) -> str | None:
    """Turn an invitation into a session as `begin` does; None when it was used or is too old."""
    used = session.execute(
        delete(BrowserSession)
        .where(*_is(token, is_invitation=True))
        .returning(BrowserSession.key_id, BrowserSession.key_sha256)
    ).one_or_none()
    return None if used is None else begin(session, Holder(*used), before)


def leave_notice(session: Session, token: str, text: str) -> None:
    """Have the session's next page tell `text`."""
    session.execute(update(BrowserSession).where(*_is(token)).values(notice=text[:LONGEST_NOTICE]))


def take_notice(session: Session, token: str) -> None:
    """Forget what the session's next page would tell: it was told."""
    session.execute(update(BrowserSession).where(*_is(token)).values(notice=None))


def forget(session: Session) -> int:
    """Remove what has expired; returns how many rows."""
    gone = session.execute(delete(BrowserSession).where(BrowserSession.expires_at <= now()))
    assert isinstance(gone, CursorResult)
    return gone.rowcount


def _insert(session: Session, holder: Holder, seconds: float, *, is_invitation: bool) -> str:
    token = secrets.token_urlsafe(32)
    session.add(
        BrowserSession(
            token_sha256=_digest(token),
            is_invitation=is_invitation,
            key_id=holder.key_id,
            key_sha256=holder.key_sha256,
            expires_at=session.scalar(select(now(seconds))),
        )
    )
    session.flush()
    return token


def _is(token: str, *, is_invitation: bool = False) -> tuple[ColumnElement[bool], ...]:
    return (
        BrowserSession.token_sha256 == _digest(token),
        BrowserSession.is_invitation.is_(is_invitation),
        BrowserSession.expires_at > now(),
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
