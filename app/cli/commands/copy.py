"""`penstock copy`: everything of one database into another, such as from SQLite to PostgreSQL."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from app.cli import wrapping

if TYPE_CHECKING:
    from app.copying.agreement import Figures

NOUNS = {"job": "job", "record": "record", "attempt": "call"}  # by table
ALSO = (
    "Not in a database, and still where it was: what the object store holds (OBJECT_STORE_URL, or `blobs` in"
    " PENSTOCK_DATA) and the key of stored secrets (PENSTOCK_SECRET_KEY, or `secret-key` in PENSTOCK_DATA):"
    " keep both settings, or take both along. Now set DATABASE_URL to the new database and start Penstock:"
    " jobs go on by themselves."
)
Show = Callable[[str, int], None]


@click.command(short_help="Copy a whole database into a new one, of any kind.")
@click.option(
    "--from", "source", metavar="URL", required=True, help="Database to copy, which stays as it is."
)
@click.option(
    "--to",
    "target",
    metavar="URL",
    envvar="DATABASE_URL",
    required=True,
    help="New, empty database; it is migrated first  [default: DATABASE_URL]",
)
def copy(source: str, target: str) -> None:
    """Copy everything that one database holds into a new one: SQLite to PostgreSQL, or any to any.

    Stop everything that uses the first one before: the copy is refused while anybody does. It is one
    transaction, so that afterwards the new database holds everything, or still nothing. The number of rows of
    each table and the sums of the ledger are compared before it is committed.

    Addresses are as in DATABASE_URL. A password can stay out of the command line: in DATABASE_URL for the new
    database, in PGPASSWORD or ~/.pgpass for both.
    """
    from app.copying.copy import opened
    from config import logs, private

    logs.configure("CRITICAL", "text")  # what a driver would log is reported below
    with private.closed_to_others(), opened(source, target) as begun, _progress(begun.rows) as show:
        held = begun.run(show)
    _tell(held)


@contextmanager
def _progress(rows: Mapping[str, int]) -> Iterator[Show]:
    """A bar over all rows; where there is no terminal, nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description:16.16}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=sum(rows.values()))
        yield lambda table, more: bar.update(task, description=table, advance=more)


def _tell(held: "Figures") -> None:
    from app.core.money import pricing

    rows, sums = held.rows, held.sums
    jobs, records, calls = (_many(rows[table], noun) for table, noun in NOUNS.items())
    wrapping.paragraph(
        f"copied and compared: {_many(sum(rows.values()), 'row')} of {len(rows)} tables, among them {jobs},"
        f" {records} and {calls}; both ledgers add up to ${pricing.dollars(sums['job_counts.cost'])}, and"
        f" ${pricing.dollars(sums['job_counts.cost_unconfirmed'])} unconfirmed"
    )
    wrapping.paragraph(ALSO)


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
