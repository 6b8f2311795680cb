"""Jobs that are being put together on the page and have not been submitted."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, Uid, UTCDateTime, new_uid, now


class JobDraft(Base):
    """What a user has dropped and typed so far. Its files are rows of `file`, which count and expire."""

    __tablename__ = "job_draft"
    __table_args__ = (
        Index("ix_job_draft_user_id", "user_id", "updated_at"),
        Index("ix_job_draft_updated_at", "updated_at"),  # for the sweep
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uid: Mapped[uuid.UUID] = mapped_column(Uid, default=new_uid, unique=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    name: Mapped[str] = mapped_column(String(255))  # of its file, or of the first of several
    format: Mapped[str] = mapped_column(String(16))  # of its file; `documents` for several
    files: Mapped[list[dict[str, Any]]] = mapped_column(JSON)  # `uid`, `name` and `bytes` of each
    fields: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # as they were typed
    tried: Mapped[uuid.UUID | None] = mapped_column(Uid)  # the job of its first rows
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
    updated_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
