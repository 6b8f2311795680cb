"""Writing many rows with one statement, in the way that is fastest for each database.

An INSERT with one VALUES item per row is a different statement for every number of rows: parsing and binding
it takes longer than PostgreSQL takes to write the rows. Here the text is always the same.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

from sqlalchemy import ARRAY, JSON, Connection, Insert, Table, Text, bindparam, column, func, insert, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeEngine

from models.base import Base

Values = Mapping[str, ColumnElement[Any]]


class ManyRows:
    """An INSERT of rows given as mappings with the table's columns `names` and the extra keys of `besides`.

    `computed` returns the values of further columns; it gets a function that returns a row's field by name.
    With `keep` a row that already exists stays as it is.
    """

    def __init__(
        self,
        table: type[Base],
        names: Sequence[str],
        besides: Mapping[str, TypeEngine[Any]],
        computed: Callable[[Callable[[str], ColumnElement[Any]]], Values],
        *,
        keep: bool = False,
    ) -> None:
        self._table = _table(table)
        self._names = names
        self._types = {name: self._table.columns[name].type for name in names} | dict(besides)
        self._computed = computed
        self._keep = keep

    def insert(self, session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        connection = session.connection()
        if connection.dialect.name == "postgresql":
            connection.execute(self._of_arrays, {name: self._array(name, rows) for name in self._types})
        else:
            connection.execute(self._of_one_row, rows)

    @cached_property
    def _of_one_row(self) -> Insert:
        """The statement for an executemany."""
        fields = {name: bindparam(name, type_=kind) for name, kind in self._types.items()}
        values = {**{name: fields[name] for name in self._names}, **self._computed(fields.__getitem__)}
        statement = sqlite.insert(self._table).values(values)
        return statement.on_conflict_do_nothing() if self._keep else statement

    @cached_property
    def _of_arrays(self) -> Insert:
        """The statement with an array for each column. JSON goes as text: the driver has no JSON arrays."""
        sent = {name: Text() if isinstance(kind, JSON) else kind for name, kind in self._types.items()}
        arrays = (bindparam(name, type_=ARRAY(kind)) for name, kind in sent.items())
        table = func.unnest(*arrays).table_valued(*(column(name, kind) for name, kind in sent.items()))
        rows = table.render_derived().c
        columns = {name: sql_cast(rows[name], self._types[name]) for name in self._names}
        values = {**columns, **self._computed(rows.__getitem__)}
        statement = postgresql.insert(self._table)
        statement = statement.from_select(list(values), select(*values.values()), include_defaults=False)
        return statement.on_conflict_do_nothing() if self._keep else statement

    def _array(self, name: str, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        if not isinstance(self._types[name], JSON):
            return [row[name] for row in rows]
        return [None if row[name] is None else json.dumps(row[name]) for row in rows]


def load(session: Session, table: type[Base], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows that have a value for each of the columns `names`: by COPY, where the database has it.

    Raises the same errors as an INSERT.
    """
    connection, into = session.connection(), _table(table)
    dialect = connection.dialect
    if dialect.name != "postgresql":
        connection.execute(insert(into), [dict(zip(names, row, strict=True)) for row in rows])
        return
    types = [into.columns[name].type.compile(dialect).lower() for name in names]
    copy_in(connection, into, names, types, rows)


def copy_in(
    connection: Connection,
    into: Table,
    names: Sequence[str],
    types: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """COPY into a table of PostgreSQL; `types` are the driver's names of what a row has for each column."""
    import psycopg  # here, as only PostgreSQL needs it

    driver = cast(psycopg.Connection, connection.connection.driver_connection)
    quoted = connection.dialect.identifier_preparer
    columns = ", ".join(map(quoted.quote, names))
    copy = f"COPY {quoted.format_table(into)} ({columns}) FROM STDIN (FORMAT BINARY)"
    try:
        with driver.cursor().copy(copy) as copying:
            copying.set_types(types)
            for row in rows:
                copying.write_row(row)
    except psycopg.Error as error:
        raise DBAPIError.instance(
            copy,
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            connection_invalidated=driver.broken,
            dialect=connection.dialect,
        ) from error


def _table(table: type[Base]) -> Table:
    return cast(Table, table.__table__)
