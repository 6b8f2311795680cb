"""The sign of life of a worker process."""

import datetime as dt

from sqlalchemy import BigInteger, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, UTCDateTime, now


class Lease(Base):
    """One row per worker process; the records that it has claimed refer to it.

    The process's event loop raises `counter` every two seconds, so a dead loop renews nothing. The lease is
    dead when four checks, at least three seconds apart, found the counter unchanged. The checks are stored
    here and no clock decides, so after a stalled database or a sleeping laptop no process loses its records.
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
    # Of a slice worker, each for one slice. None: of a release that did not say, which has 64.
    threads: Mapped[int | None] = mapped_column(Integer)
    counter: Mapped[int] = mapped_column(BigInteger, default=0)
    serving: Mapped[str] = mapped_column(Text, default="")  # ids of the windows it serves, by spaces
    looked_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
    looked_counter: Mapped[int] = mapped_column(BigInteger, default=-1)
    still: Mapped[int] = mapped_column(Integer, default=0)  # checks in a row that found it unchanged
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
    dead_at: Mapped[dt.datetime | None] = mapped_column(UTCDateTime)
