"""Where a job's time went, and how its records and cost came in."""

import datetime as dt

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime


class JobTime(Base):
    """One row a job: its time from its first row on, by what it was spent on.

    Locked after the job's own row, where that is. It stays as long as that one does. A job whose caller waits
    for its answer has none, nor has one of an earlier release.
    """

    __tablename__ = "job_time"
    __table_args__ = (
        # The jobs that the tick looks at.
        Index(
            "ix_job_time_watched",
            "job_id",
            postgresql_where=text("watched"),
            sqlite_where=text("watched = 1"),
        ),
    )

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True, autoincrement=False)
    milliseconds: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)  # by state, until `since`
    state: Mapped[str] = mapped_column(String(20))  # from `since` on
    since: Mapped[dt.datetime] = mapped_column(UTCDateTime)
    # The job is pending or running, and its state is what the tick sees; else its status says it.
    watched: Mapped[bool] = mapped_column(Boolean)
    seen_at: Mapped[dt.datetime] = mapped_column(UTCDateTime)  # it was still in that state
    # Its newest point, and how many there are.
    points: Mapped[int] = mapped_column(Integer, default=0)
    point_at: Mapped[dt.datetime] = mapped_column(UTCDateTime)
    seq: Mapped[int] = mapped_column(BigInteger, default=0)
    failed: Mapped[int] = mapped_column(Integer, default=0)
    cost: Mapped[int] = mapped_column(BigInteger, default=0)  # pico-dollars


class JobPoint(Base):
    """A job's sums at one moment; between two points without one between them they moved evenly.

    Insert-only, without a foreign key, and removed with the job's content. See `app.core.timeline.points` for
    how many there are.
    """

    __tablename__ = "job_point"

    job_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[dt.datetime] = mapped_column(UTCDateTime, primary_key=True)
    # Records that have ended, each time that they did: unlike the sum of the counts it never falls.
    seq: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(Integer)
    cost: Mapped[int] = mapped_column(BigInteger)  # pico-dollars
