"""Two rows in each table, with what each column's type can hold at its most; and all rows of a database."""

import datetime as dt
import hashlib
import uuid
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Engine,
    SmallInteger,
    String,
    Table,
    Text,
    cast,
    delete,
    insert,
    select,
)

from models import Sweep
from models.base import Base

MOMENT = dt.datetime(2026, 2, 28, 23, 59, 59, 999_999, dt.UTC)
TEXT = 'Größe\t"5" \\N ☃ 𝄞\n'
VALUES = ({"a": [1, None, "\x00 é"]}, None)  # a JSON column's


def fill(engine: Engine) -> None:
    """One row with a value in each column, and one with those alone that must have one."""
    with engine.begin() as connection:
        connection.execute(delete(Sweep))  # a migration has written it
        for table in Base.metadata.sorted_tables:
            for number in (1, 2):
                connection.execute(insert(table).values(_row(table, number)))


def rows(engine: Engine) -> dict[str, list[str]]:
    """Every row of every table, JSON as the text that is stored."""
    with engine.begin() as connection:
        return {
            table.name: sorted(repr(tuple(row)) for row in connection.execute(select(*map(_stored, table.c))))
            for table in Base.metadata.sorted_tables
        }


def _stored(column: Column[Any]) -> Any:
    return cast(column, Text) if isinstance(column.type, JSON) else column


def _row(table: Table, number: int) -> dict[str, Any]:
    return {
        column.name: None if number == 2 and column.nullable else _value(table, column, number)
        for column in table.columns
    }


def _value(table: Table, column: Column[Any], number: int) -> Any:
    kind = getattr(column.type, "impl_instance", column.type)
    if column.foreign_keys or (column.primary_key and isinstance(kind, BigInteger)):
        return number
    if isinstance(kind, JSON):
        return VALUES[number - 1]
    if isinstance(kind, String):
        return f"{number}{TEXT}"[: kind.length]
    length = getattr(kind, "length", None)
    of_python: dict[type, Any] = {
        bool: number == 1,
        int: _largest(kind) - number,
        float: 0.1,
        bytes: hashlib.sha512(f"{table}{column}{number}".encode()).digest()[:length] + b"\0" * (not length),
        dt.datetime: MOMENT + dt.timedelta(days=number),
        dt.date: MOMENT.date(),
        uuid.UUID: uuid.uuid5(uuid.NAMESPACE_OID, f"{table}{column}{number}"),
    }
    return of_python[kind.python_type]


def _largest(kind: Any) -> int:
    # Of two rows, so that their sum is one that both databases can say.
    return (
        2**15 - 1 if isinstance(kind, SmallInteger) else 2**62 if isinstance(kind, BigInteger) else 2**31 - 1
    )
