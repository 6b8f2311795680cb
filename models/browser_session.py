"""Sessions of browsers that have signed in."""

import datetime as dt

from sqlalchemy import Boolean, ForeignKey, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UTCDateTime, now


class BrowserSession(Base):
    """What a cookie stands for: a key, which is looked up anew for every request.

    An invitation is the link that signs a browser in once; it becomes a session and is gone. Neither key of
    a session: it acts for whoever needs none, where no key is required.
    """

    __tablename__ = "browser_session"

    token_sha256: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    is_invitation: Mapped[bool] = mapped_column(Boolean)
    key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"), index=True)
    key_sha256: Mapped[bytes | None] = mapped_column(LargeBinary(32))  # of a key in API_KEYS
    notice: Mapped[str | None] = mapped_column(Text)  # what its next page tells, once
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, insert_default=now())
    expires_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, index=True)
