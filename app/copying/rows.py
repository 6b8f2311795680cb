"""The rows of one table, out of one database and into another, with bounded memory."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

from sqlalchemy import (
    JSON,
    Cast,
    Column,
    Connection,
    Dialect,
    Float,
    Insert,
    LargeBinary,
    String,
    Table,
    Text,
    bindparam,
    cast,
    func,
    insert,
    select,
    text,
)

from models.bulk import copy_in

NARROW, WIDE = 2_000, 50  # rows that are read, or inserted, at once; one of the wide may have megabytes

Show = Callable[[int], None]  # takes the number of rows that have just been copied


def move(source: Connection, target: Connection, table: Table, show: Show) -> None:
    """Copy every row of `table`."""
    size = WIDE if any(_is_long(column) for column in table.columns) else NARROW
    with closing(_read(source, table, size)) as read:  # also when it is cut short: while its database is open
        _write(target, table, _counted(read, size, show), size)


def _is_long(column: Column[Any]) -> bool:
    kind = column.type
    return isinstance(kind, JSON) or (isinstance(kind, LargeBinary | String) and kind.length is None)


def _write(target: Connection, table: Table, rows: Iterator[Sequence[Any]], size: int) -> None:
    names = table.columns.keys()
    if target.dialect.name == "postgresql":
        copy_in(target, table, names, [_sent_as(column, target.dialect) for column in table.columns], rows)
        return
    statement = _one_row(table)
    for chunk in _chunks(rows, size):
        target.execute(statement, [dict(zip(names, row, strict=True)) for row in chunk])


def set_sequence(target: Connection, table: Table) -> None:
    """Let PostgreSQL number new rows behind those that were copied; SQLite does so by itself."""
    column = table.autoincrement_column
    if column is None or target.dialect.name != "postgresql":
        return
    highest = target.scalar(select(func.max(column)))
    if highest is not None:
        name = target.dialect.identifier_preparer.format_table(table)
        sequence = text("SELECT setval(pg_get_serial_sequence(:table, :column), :highest)")
        target.execute(sequence, {"table": name, "column": column.name, "highest": highest})


def _read(source: Connection, table: Table, size: int) -> Generator[Sequence[Any]]:
    paged: Mapping[str, Any] = {"stream_results": True, "yield_per": size}
    with source.execute(select(*map(_as_it_is, table.columns)), execution_options=paged) as rows:
        yield from rows


def _as_it_is(column: Column[Any]) -> Column[Any] | Cast[str]:
    """JSON as its text: read as values, an absent one and a `null` would be the same."""
    return cast(column, Text) if isinstance(column.type, JSON) else column


def _sent_as(column: Column[Any], dialect: Dialect) -> str:
    """The driver's name for the values of a column."""
    if isinstance(column.type, JSON | String):
        return "text"
    if isinstance(column.type, Float):
        return "float8"
    return column.type.compile(dialect).lower()


def _one_row(table: Table) -> Insert:
    types = {
        column.name: Text() if isinstance(column.type, JSON) else column.type for column in table.columns
    }
    return insert(table).values({name: bindparam(name, type_=kind) for name, kind in types.items()})


def _chunks(rows: Iterable[Sequence[Any]], size: int) -> Iterator[list[Sequence[Any]]]:
    left = iter(rows)
    while chunk := list(islice(left, size)):
        yield chunk


def _counted(rows: Iterable[Sequence[Any]], size: int, show: Show) -> Iterator[Sequence[Any]]:
    for chunk in _chunks(rows, size):
        yield from chunk
        show(len(chunk))
