"""The form of the table that a job came as."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class JobTable(Base):
    """Of a job that came as a table: its form, in which its results are given back.

    Read with those results alone; a job of an earlier release has none.
    """

    __tablename__ = "job_table"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True, autoincrement=False)
    format: Mapped[str] = mapped_column(String(10))
    form: Mapped[dict[str, Any]] = mapped_column(JSON)  # `app.ingest.forms.table_form` writes and reads it
    rows: Mapped[bytes | None] = mapped_column(LargeBinary)  # of a workbook: the row of each record
