"""`penstock ledger`: whether totals and calls agree, directly on the database."""

import click

from app.cli import faults
from app.cli.database import check_revision


@click.group()
def ledger() -> None:
    """Check the ledger of calls."""


@ledger.command(short_help="Compare every total with the calls behind it.")
@click.option("--job", "uid", metavar="ID", help="Only this job  [default: all jobs]")
def check(uid: str | None) -> int:
    """Compare every total with the calls behind it, and list each difference.

    Compared, in one snapshot, are each job's tokens and cost with its calls, each answer's cost with the
    calls for its record, the counts of a job that has ended with its records, and each day's spending with
    its calls. Jobs may run meanwhile.

    Exit code: 0 everything agrees, 1 something differs or could not be read.
    """
    check_revision()
    from app.core.money.reconciliation import Check, number_of
    from app.core.reading.records import snapshot

    found = 0
    with snapshot() as session:
        comparison = Check(session, None if uid is None else number_of(session, uid))
        for difference in comparison.differences():
            found += 1
            click.echo(str(difference))
    result = f"{found:,} difference{'' if found == 1 else 's'}" if found else "all agree"
    click.secho(
        f"{comparison.jobs:,} job{'' if comparison.jobs == 1 else 's'},"
        f" {comparison.attempts:,} call{'' if comparison.attempts == 1 else 's'}: {result}",
        fg="red" if found else "green",
    )
    return faults.FAILED if found else 0
