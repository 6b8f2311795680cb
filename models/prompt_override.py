"""A user's own prompt templates."""

import datetime as dt

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now


class PromptOverride(Base):
    """A user's replacement for an operation's templates; None: the shipped one."""

    __tablename__ = "prompt_override"

    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)  # of the operation
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    prompt: Mapped[str | None] = mapped_column(Text)
    system: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
