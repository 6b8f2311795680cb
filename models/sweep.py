"""When the last sweep was, and whose."""

import datetime as dt

from sqlalchemy import Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime


class Sweep(Base):
    """The one row that each sweep updates, so that workers notice when beat is gone."""

    __tablename__ = "sweep"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)  # 1
    swept_at: Mapped[dt.datetime] = mapped_column(UTCDateTime)
    stand_in: Mapped[str | None] = mapped_column(String(300))  # the worker, host:pid; None: beat's own sweep
