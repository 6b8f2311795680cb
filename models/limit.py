"""A limit group's row: limits set by an operator, limits learned from the provider, and the group's hold.

Redis counts and paces; what must outlive it is stored here, and every process reads it once a second.
"""

import datetime as dt

from sqlalchemy import BigInteger, Float, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now


class LimitGroup(Base):
    """Limits are per minute, except `max_concurrent_calls`. None: not set, or not learned."""

    __tablename__ = "limit_group"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    # Set by an operator, below or above those of the environment.
    requests_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    input_tokens_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    output_tokens_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    max_concurrent_calls: Mapped[int | None] = mapped_column(BigInteger)
    # From the headers of the provider's latest answers.
    learned_requests: Mapped[int | None] = mapped_column(BigInteger)
    learned_input_tokens: Mapped[int | None] = mapped_column(BigInteger)
    learned_output_tokens: Mapped[int | None] = mapped_column(BigInteger)
    # Written by earlier releases, and read by none.
    learned_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    # A hold that must outlive an emptied Redis: no call leaves until then, and then one probe at once.
    held_until: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    held_reason: Mapped[str | None] = mapped_column(String(200))
    probe_every: Mapped[float | None] = mapped_column(Float)  # seconds
    held_detail: Mapped[str | None] = mapped_column(Text)  # the reason in a sentence, as JSON
    # Until then calls are paced, since the provider refused one that left at once.
    paced_until: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    updated_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now(), onupdate=now())
