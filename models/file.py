"""Files that a tenant has uploaded, and the batches made of files."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Index, Integer, String, false, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, Uid, UTCDateTime, new_uid, now


class File(Base):
    """A possible object in the object store: the row is written before the object.

    The row outlives the object by up to a day, as what was uploaded counts toward the quota of a day.
    """

    __tablename__ = "file"
    __table_args__ = (
        Index("ix_file_tenant_id_uid", "tenant_id", "uid"),
        Index("uq_file_tenant_id_repeat_key", "tenant_id", "repeat_key", unique=True),
        # For the sweep, and only as large as what still has an object.
        Index(
            "ix_file_expires_at",
            "expires_at",
            postgresql_where=text("removed_at IS NULL"),
            sqlite_where=text("removed_at IS NULL"),
        ),
        Index(
            "ix_file_removed_at",
            "created_at",
            postgresql_where=text("removed_at IS NOT NULL"),
            sqlite_where=text("removed_at IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uid: Mapped[uuid.UUID] = mapped_column(Uid, default=new_uid, unique=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    key: Mapped[str] = mapped_column(String(255))  # in the object store
    name: Mapped[str] = mapped_column(String(255))
    purpose: Mapped[str] = mapped_column(String(32))
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
    stored_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # None: its object may not be whole
    # When it is gone, by itself or because its owner deleted it; None: never.
    expires_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    removed_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)  # when its object was removed
    # By what its upload is found when it is sent again, and a digest of what was sent. None: by nothing.
    repeat_key: Mapped[str | None] = mapped_column(String(255))
    fingerprint: Mapped[str | None] = mapped_column(String(64))  # hexadecimal


class FileBatch(Base):
    """What a batch that was made of a file, or of requests like those in one, has besides its job's row."""

    __tablename__ = "file_batch"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True, autoincrement=False)
    endpoint: Mapped[str] = mapped_column(String(64))
    input_file: Mapped[str | None] = mapped_column(String(64))  # its id, as the caller gave it
    completion_window: Mapped[str] = mapped_column(String(16))
    # Whether some of its lines have another url than `endpoint`, so that their answers have another shape.
    mixed: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    # Why nothing of it was asked: code, line, message and param of the first invalid lines.
    errors: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    # Seconds after its end for which its output and error files can be read; None: as long as the job's
    # content is kept.
    output_seconds: Mapped[int | None] = mapped_column(Integer)
    # When their owner deleted those files.
    output_deleted_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    errors_deleted_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
