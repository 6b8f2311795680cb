"""Documents: possible objects in the object store, hand-offs to be made, and the audit of both."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, Uid, UTCDateTime, new_uid, now


class Blob(Base):
    """A possible object under `key`: the row is written before the object, and removed after it."""

    __tablename__ = "blob"
    __table_args__ = (Index("ix_blob_job_id", "job_id", "id"), Index("ix_blob_upload", "upload"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(255), unique=True)
    upload: Mapped[uuid.UUID] = mapped_column(Uid)  # the request that it came with
    job_id: Mapped[int | None] = mapped_column(BigInteger)  # None: no job has taken it yet, or ever will
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())


class Handoff(Base):
    """A document to be pushed onto a list in Redis; the row is removed after the push."""

    __tablename__ = "handoff"
    __table_args__ = (Index("ix_handoff_queue", "queue", "id"), UniqueConstraint("job_id", "idx"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    queue: Mapped[str] = mapped_column(String(255))
    body: Mapped[bytes] = mapped_column(LargeBinary)  # JSON
    job_id: Mapped[int] = mapped_column(BigInteger)
    idx: Mapped[int] = mapped_column(Integer)
    # Taken by a process until then; if that dies, the next one takes it.
    taken_until: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)


class AuditEvent(Base):
    """An action on a tenant's resource. Insert-only."""

    __tablename__ = "audit_event"
    __table_args__ = (
        Index("ix_audit_event_tenant_id", "tenant_id", "id"),
        Index("ix_audit_event_event_type", "tenant_id", "event_type", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    event_id: Mapped[uuid.UUID] = mapped_column(Uid, default=new_uid)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    event_type: Mapped[str] = mapped_column(String(100))
    resource_type: Mapped[str] = mapped_column(String(100))
    resource_id: Mapped[str] = mapped_column(String(200))
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
