"""The form in which a job's table came, kept with the job so that its results go back in the same one."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from app.ingest.forms.delimited import Delimited
from app.ingest.forms.row_numbers import RowNumbers
from app.ingest.forms.workbook import Workbook

DELIMITED, WORKBOOK, PARQUET = ("csv", "tsv"), "xlsx", "parquet"


@dataclass(frozen=True, slots=True)
class TableForm:
    """One of `delimited`, `workbook` and `kept`, or why there is none of them."""

    format: str  # as its file was named
    delimited: Delimited | None = None
    workbook: Workbook | None = None
    rows: RowNumbers | None = None  # of the workbook's sheet, for each record in turn
    kept: str | None = None  # where the file itself is in the object store
    plain_because: str | None = None  # why the results of a workbook are a plain sheet

    @property
    def warning(self) -> str | None:
        if self.plain_because is None:
            return None
        return (
            "the answers in XLSX will be a plain sheet, not your workbook with columns added:"
            f" {self.plain_because}"
        )

    def to_json(self) -> dict[str, Any]:
        """Its parts without `rows`, which may be many."""
        return {
            "delimited": self.delimited and asdict(self.delimited),
            "workbook": self.workbook and asdict(self.workbook),
            "kept": self.kept,
            "plain_because": self.plain_because,
        }

    @classmethod
    def of(cls, format: str, parts: Mapping[str, Any]) -> Self:
        """What `to_json` gave of one."""
        return cls(
            format,
            parts["delimited"] and Delimited(**parts["delimited"]),
            parts["workbook"] and Workbook(**parts["workbook"]),
            kept=parts.get("kept"),  # an earlier release wrote none
            plain_because=parts["plain_because"],
        )
