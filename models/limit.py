"""A limit group's row: what was set by hand, what the provider told, and whether the group is held.

Redis counts and paces; what it must not forget stands here, and every process reads it once a second.
"""

import datetime as dt

from sqlalchemy import BigInteger, Float, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now


class LimitGroup(Base):
    """Limits are for a minute, `max_concurrent_calls` apart. None: not set, not told."""

    __tablename__ = "limit_group"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    # Set by an operator, who may set less than the environment allows, or more.
    requests_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    input_tokens_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    output_tokens_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    max_concurrent_calls: Mapped[int | None] = mapped_column(BigInteger)
    # What the headers of the provider's answers said last.
    learned_requests: Mapped[int | None] = mapped_column(BigInteger)
    learned_input_tokens: Mapped[int | None] = mapped_column(BigInteger)
    learned_output_tokens: Mapped[int | None] = mapped_column(BigInteger)
    # Written by releases before this one, and read by none.
    learned_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    # A hold that an emptied Redis must not forget: nothing leaves until then, and then one probe at a time.
    held_until: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    held_reason: Mapped[str | None] = mapped_column(String(200))
    probe_every: Mapped[float | None] = mapped_column(Float)  # seconds
    updated_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now(), onupdate=now())
