"""What a statement is compiled to, kept by this process for all the databases that its tests make.

An engine keeps it by its own dialect, and each test has an engine of its own: without this a fifth of what a
test takes is compiling the same statements again. Dialects of one kind are configured alike here.
"""

from typing import Any

import sqlalchemy
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

_compiled: dict[type, Any] = {}


def install() -> None:
    """Engines that this process makes from now on share what they compile; call it before they are known."""
    for kind in (PGDialect_psycopg, SQLiteDialect_pysqlite):
        kind.__eq__ = lambda self, other: type(self) is type(other)  # type: ignore[method-assign,assignment]
        kind.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign,assignment]
    create_engine = sqlalchemy.create_engine

    def create(*arguments: Any, **options: Any) -> sqlalchemy.Engine:
        made = create_engine(*arguments, **options)
        made._compiled_cache = _compiled.setdefault(type(made.dialect), made._compiled_cache)
        return made

    sqlalchemy.create_engine = create
