"""What a fault cost, as the tests saw it."""

from collections import defaultdict
from typing import Any

from tests.support.invariants import Reconciled


class Figures:
    """One row for each round of a fault."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def note(self, fault: str, books: Reconciled, seconds: float | None = None) -> None:
        """`seconds`: from the fault's end, or the kill, to the first new answer that it had held up."""
        self.rows.append(
            {
                "fault": fault,
                "seconds": None if seconds is None else round(seconds, 1),
                "records": sum(job.row().total for job in books.jobs),
                "unconfirmed": books.unconfirmed,
                "twice": books.asked_twice,
            }
        )

    def lines(self) -> list[str]:
        by_fault = defaultdict(list)
        for row in self.rows:
            by_fault[row["fault"]].append(row)
        return [_line(fault, rows) for fault, rows in by_fault.items()]


def _line(fault: str, rows: list[dict[str, Any]]) -> str:
    seconds = sorted(row["seconds"] for row in rows if row["seconds"] is not None)
    took = f"{seconds[len(seconds) // 2]} s (at most {seconds[-1]} s)" if seconds else "-"
    total, twice, unconfirmed = (
        sum(row[name] for row in rows) for name in ("records", "twice", "unconfirmed")
    )
    return (
        f"{fault}: {len(rows)} rounds, {took}; of {total} records 0 lost, {twice} answered twice,"
        f" {unconfirmed} calls unconfirmed"
    )
