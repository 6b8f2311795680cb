"""INSERTs of rows that may already exist, for both databases."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models.base import Base


def insert(dialect: str, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """The database's own INSERT with `on_conflict` clauses, which both dialects spell alike."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def insert_missing(session: Session, table: type[Base], *rows: Mapping[str, Any]) -> None:
    """Insert rows; one that already exists stays as it is."""
    connection = session.connection()
    connection.execute(insert(connection.dialect.name, table).on_conflict_do_nothing(), rows)
