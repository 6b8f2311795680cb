"""An operator's settings for batching, shared by all processes."""

import datetime as dt
from typing import Any

from sqlalchemy import JSON, Boolean, Integer
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now

THE_ROW = 1


class BatchConfiguration(Base):
    """One row, `THE_ROW`; starting a batch of the priority queue holds its lock. None: not set."""

    __tablename__ = "batch_configuration"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    max_batch_size: Mapped[int | None] = mapped_column(Integer)
    max_wait_time_ms: Mapped[int | None] = mapped_column(Integer)
    enable_dynamic_batching: Mapped[bool | None] = mapped_column(Boolean)
    enable_adaptive_batching: Mapped[bool | None] = mapped_column(Boolean)
    priority_weights: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    updated_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now(), onupdate=now())
