"""What both kinds of runs know: the job, its rows and what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock_client import flows, frames
from penstock_client.following import Following
from penstock_client.lines import Lines
from penstock_client.objects import Answer, Job
from penstock_client.order import Order
from penstock_client.progress import Bar
from penstock_client.wire import Call, Contact


class Case:
    """`order` is None for a job that was found by its id: its rows are not known here."""

    def __init__(
        self, contact: Contact, raw: Mapping[str, Any], order: Order | None, progress: bool | None
    ) -> None:
        self.contact, self.raw, self.order, self.progress = contact, dict(raw), order, progress

    @property
    def job(self) -> Job:
        return Job.of(self.raw)

    def follow(self) -> Following:
        return Following(self.contact, self.raw, self._row, Bar(self.progress))

    def _row(self, index: int) -> Any:
        return None if self.order is None else self.order.given.row(index)

    def frame(self, library: str | None, found: Sequence[Answer]) -> Any:
        """The rows with their answers; None where only the server knows the rows.

        The status of a row that has not ended is that of its job.
        """
        if self.order is None or not isinstance(given := self.order.given, Lines):
            return None
        rows = list(given.cells()) if given.rows is None else given.rows
        columns = frames.columns_of(
            found, len(given), self.raw["status"], self.order.properties, _names(rows)
        )
        return frames.with_columns(frames.chosen(library, rows), rows, columns)

    def table(self) -> Call:
        """The call for the same as a plain CSV."""
        return flows.results(self.raw["id"], "csv", plain="true", raw="true")

    @staticmethod
    def of_table(library: str | None, table: bytes) -> Any:
        return frames.of_table(frames.chosen(library, None), table)

    def results(self, path: Path) -> Call:
        """The call for the file that the name of `path` asks for."""
        return flows.results(self.raw["id"], path.suffix.lower().removeprefix("."))


def _names(rows: Any) -> list[str]:
    """The columns that there are already."""
    if frames.library_of(rows) == "pyarrow":
        return list(rows.column_names)
    if frames.library_of(rows):
        return [str(name) for name in rows.columns]
    return list(dict.fromkeys(name for row in rows for name in row))
