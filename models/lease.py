"""What says that a worker process lives."""

import datetime as dt

from sqlalchemy import BigInteger, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, UTCDateTime, now


class Lease(Base):
    """One row of one worker process; the records that it has claimed name it.

    Its event loop raises `counter` every two seconds, so a dead loop renews nothing. It is dead when the
    counter stood still over four looks, at least three seconds apart, and the looks are kept here: no clock
    decides, so a database that stood still or a laptop that slept takes nothing from anybody.
    """

    __tablename__ = "lease"
    __table_args__ = (
        Index(
            "ix_lease_live",
            "id",
            postgresql_where=text("dead_at IS NULL"),
            sqlite_where=text("dead_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(300))  # host:pid, for people
    counter: Mapped[int] = mapped_column(BigInteger, default=0)
    serving: Mapped[str] = mapped_column(Text, default="")  # ids of the windows it has slices of, by spaces
    looked_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    looked_counter: Mapped[int] = mapped_column(BigInteger, default=-1)
    still: Mapped[int] = mapped_column(Integer, default=0)  # looks in a row that found it unmoved
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
    dead_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
