"""A copy from its beginning to its end: one transaction, so that it is there as a whole or not at all."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial

from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError

from app.copying import agreement, ends, rows
from app.copying.agreement import Figures
from app.errors import BadInput, Conflict, Unavailable
from models.base import Base

Show = Callable[[str, int], None]  # takes a table, and how many more of its rows have been copied


@dataclass(frozen=True)
class Copy:
    """A copy that may begin: its databases are open, and are refused to others where that can be done."""

    source: Connection
    target: Connection

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """How many there are to be copied, by table."""
        return agreement.count(self.source)

    def run(self, show: Show) -> Figures:
        """Copy everything and commit, if the copy agrees with its source; returns what both hold."""
        for table in Base.metadata.sorted_tables:  # a row comes after those that it refers to
            self._move(table, show)
            rows.set_sequence(self.target, table)
        held = agreement.figures(self.source)
        different = list(agreement.differences(held, agreement.figures(self.target)))
        if different:
            raise Conflict(f"nothing was copied, as the copy would differ: {'; '.join(different)}")
        if self.target.dialect.name == "postgresql":
            self.target.execute(text("ANALYZE"))  # until then it plans as if the tables were empty
        self.target.commit()
        return held

    def _move(self, table: Table, show: Show) -> None:
        try:
            rows.move(self.source, self.target, table, partial(show, table.name))
        except (DataError, IntegrityError) as error:  # SQLite keeps texts of any length, and with zero bytes
            raise Conflict(
                f"nothing was copied: the new database refuses a value of the table {table.name}"
                f" ({_cause(error)}): change it in the old one, and copy again"
            ) from None
        except OperationalError as error:
            raise Unavailable(
                f"nothing was copied: a database went away, or is full, at the table {table.name}"
                f" ({_cause(error)}): copy again when it is well"
            ) from None


def _cause(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())


@contextmanager
def opened(source: str, target: str) -> Iterator[Copy]:
    """Raises `Refused` where either database cannot be used for it."""
    from_, to = ends.address("--from", source), ends.address("--to", target)
    if from_ == to:
        raise BadInput("--from and --to are the same database: give the new one to --to")
    with ends.source(from_) as old, ends.target(to) as new:
        yield Copy(old, new)
