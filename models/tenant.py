"""The tenants that own jobs, their users, their API keys, and the browsers that signed in with one."""

import datetime as dt
import uuid

from sqlalchemy import BigInteger, Boolean, ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base, BigId, Uid, UTCDateTime, new_uid, now


class Tenant(Base):
    __tablename__ = "tenant"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uid: Mapped[uuid.UUID] = mapped_column(Uid, default=new_uid, unique=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    # Quotas and caps; None: no limit. Records and bytes of all its jobs, in any hour and any 24 hours.
    records_per_hour: Mapped[int | None] = mapped_column(BigInteger)
    records_per_day: Mapped[int | None] = mapped_column(BigInteger)
    bytes_per_hour: Mapped[int | None] = mapped_column(BigInteger)
    bytes_per_day: Mapped[int | None] = mapped_column(BigInteger)
    daily_cap: Mapped[int | None] = mapped_column(BigInteger)  # pico-dollars, of a day in UTC
    monthly_cap: Mapped[int | None] = mapped_column(BigInteger)  # pico-dollars, of a calendar month in UTC
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())


class User(Base):
    """A name within a tenant that keys act for. A key made without one has a user of its own."""

    __tablename__ = "user"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str] = mapped_column(String(200))  # the `user_id` of the wire
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())


class ApiKey(Base):
    """256 random bits, shown once, stored as their SHA-256 and found by their prefix."""

    __tablename__ = "api_key"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uid: Mapped[uuid.UUID] = mapped_column(Uid, default=new_uid, unique=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    name: Mapped[str] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(20), unique=True)
    sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    scopes: Mapped[str] = mapped_column(String(500))  # separated by spaces
    # Of a key made under an Idempotency-Key: with the text of the key that made it, its own text is restored.
    salt: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
    revoked_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)

    tenant: Mapped[Tenant] = relationship(lazy="joined")
    user: Mapped[User] = relationship(lazy="joined")


class BrowserSession(Base):
    """What a cookie stands for: a key, which is looked up anew for every request.

    An invitation is the link that signs a browser in once; it becomes a session and is gone. Neither key of
    a session: it acts for whoever needs none, where no key is required.
    """

    __tablename__ = "browser_session"

    token_sha256: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    is_invitation: Mapped[bool] = mapped_column(Boolean)
    key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"), index=True)
    key_sha256: Mapped[bytes | None] = mapped_column(LargeBinary(32))  # of a key in API_KEYS
    notice: Mapped[str | None] = mapped_column(Text)  # what its next page tells, once
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
    expires_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, index=True)
