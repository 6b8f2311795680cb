"""Whether a copy holds what its source does: the number of rows of each table, and the sums of the ledger."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import BigInteger, Connection, Integer, func, select

from models.base import Base

LEDGER = ("attempt", "job_counts", "spend")  # tables


@dataclass(frozen=True, slots=True)
class Figures:
    """`rows` by table, and what the numbers of the ledger's tables add up to, by table and column."""

    rows: Mapping[str, int]
    sums: Mapping[str, int]


def count(connection: Connection) -> Mapping[str, int]:
    return {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0
        for table in Base.metadata.sorted_tables
    }


def figures(connection: Connection) -> Figures:
    sums: dict[str, int] = {}
    for table in map(Base.metadata.tables.__getitem__, LEDGER):
        numbers = [column for column in table.columns if isinstance(column.type, Integer | BigInteger)]
        row = connection.execute(select(*(func.sum(column) for column in numbers))).one()
        for column, total in zip(numbers, row, strict=True):
            sums[f"{table.name}.{column.name}"] = int(total or 0)
    return Figures(count(connection), sums)


def differences(ours: Figures, theirs: Figures) -> Iterator[str]:
    """What is not the same, in words; `ours` is the source."""
    for name, rows in ours.rows.items():
        if rows != theirs.rows[name]:
            yield f"{name} has {rows:,} rows, the copy {theirs.rows[name]:,}"
    for name, total in ours.sums.items():
        if total != theirs.sums[name]:
            yield f"{name} adds up to {total:,}, in the copy to {theirs.sums[name]:,}"
