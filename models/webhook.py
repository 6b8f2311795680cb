"""Webhooks: where events are sent, what signs them, and each delivery with what became of it."""

import datetime as dt
import uuid
from enum import StrEnum

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, Uid, UTCDateTime, new_uid, now


class DeliveryStatus(StrEnum):
    PENDING = "pending"  # to be sent, for the first time or again
    SUCCEEDED = "succeeded"  # its receiver answered with a 2xx
    FAILED = "failed"  # given up


class WebhookEndpoint(Base):
    """An address that a tenant has registered for events."""

    __tablename__ = "webhook_endpoint"
    __table_args__ = (
        Index("ix_webhook_endpoint_tenant_id_uid", "tenant_id", "uid"),
        UniqueConstraint("tenant_id", "idempotency_key"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uid: Mapped[uuid.UUID] = mapped_column(Uid, default=new_uid, unique=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str] = mapped_column(String(200))
    url: Mapped[str] = mapped_column(String(2048))
    event_types: Mapped[list[str]] = mapped_column(JSON)
    # Since when every attempt has failed; None: the last one succeeded, or there was none.
    failing_since: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    disabled_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # None: events are sent to it
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    # The caller's name for the call that made it, and a digest of what was asked; see `IdempotencyKey`.
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    fingerprint: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
    updated_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())

    @property
    def public_id(self) -> str:
        """Its id outside."""
        return f"we_{self.uid.hex}"


class WebhookSecret(Base):
    """What signs: it must be read back for that, so it is encrypted (`app/core/webhooks/sealing.py`)."""

    __tablename__ = "webhook_secret"
    __table_args__ = (Index("ix_webhook_secret_tenant_id_endpoint_id", "tenant_id", "endpoint_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    # None: it signs what goes to the `webhook_url` of a job.
    endpoint_id: Mapped[int | None] = mapped_column(ForeignKey("webhook_endpoint.id"))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    hint: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
    expires_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # of one that was replaced


class WebhookDelivery(Base):
    """One event for one address: written in the transaction of the event, and kept for its owner to see."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_tenant_id_id", "tenant_id", "id"),
        Index("ix_webhook_delivery_endpoint_id", "endpoint_id"),
        # For senders: only as large as the work that is left.
        Index(
            "ix_webhook_delivery_pending",
            "next_at",
            postgresql_where=text("status = 'pending'"),
            sqlite_where=text("status = 'pending'"),
        ),
        Index("ix_webhook_delivery_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uid: Mapped[uuid.UUID] = mapped_column(Uid, default=new_uid, unique=True)
    tenant_id: Mapped[int] = mapped_column(BigInteger)
    endpoint_id: Mapped[int | None] = mapped_column(BigInteger)  # None: `url` is the job's own
    job_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    event_id: Mapped[str] = mapped_column(String(40))  # the same for all addresses and attempts
    event_type: Mapped[str] = mapped_column(String(40))
    url: Mapped[str] = mapped_column(String(2048))  # as it was then; an endpoint's present one is used
    # Of deliveries with the same one only a few are sent at a time.
    target: Mapped[str] = mapped_column(String(300))
    body: Mapped[bytes] = mapped_column(LargeBinary)  # JSON, the same for all attempts
    status: Mapped[str] = mapped_column(String(20), default=DeliveryStatus.PENDING)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    # Of its next attempt. A process that sends it moves this on first: should it be killed, another one sends
    # it then.
    next_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
    last_attempt_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    last_status_code: Mapped[int | None] = mapped_column(Integer)
    last_answer: Mapped[str | None] = mapped_column(Text)  # its beginning
    last_error: Mapped[str | None] = mapped_column(Text)  # why the last attempt failed
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
    ended_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
