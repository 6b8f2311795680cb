"""Before a run spends money: the question above a sum, and the jobs that wait beside it."""

import sys
from collections.abc import Sequence
from decimal import Decimal

import click
from rich.console import Console

from app.cli import words, wrapping
from app.cli.client import Job, Quote
from app.providers import registry

LISTED = 3  # jobs that wait


def is_allowed(
    console: Console, quote: Quote | None, model: str | None, max_cost: str | None, above: Decimal
) -> bool:
    """Whether the run may be sent: asks on a terminal if it may cost more than `above` dollars.

    Where nobody can answer, nobody is asked.
    """
    most = _most(quote, model, max_cost)
    if (most is not None and most <= above) or not (sys.stdin.isatty() and console.is_terminal):
        return True
    sum_ = "an unknown sum" if most is None else f"up to {words.about(most)}"
    try:
        return click.confirm(f"This may cost {sum_}. Send it?", default=False, err=True)
    except click.Abort:  # Ctrl-D or Ctrl-C, which leave the cursor behind the question
        click.echo(err=True)
        return False


def _most(quote: Quote | None, model: str | None, max_cost: str | None) -> Decimal | None:
    """Dollars that a run may cost; None where nobody knows."""
    provider = registry.find(quote["model"] if quote else model or "")
    if provider is not None and not provider.is_paid:
        return Decimal(0)
    if not quote:
        return None
    bounds = [] if max_cost is None else [Decimal(max_cost)]  # the stack has read it, too
    if quote["cost"]:
        bounds.append(Decimal(quote["cost"]["high"]))
    return min(bounds, default=None)


def tell_waiting(console: Console, jobs: Sequence[Job]) -> None:
    """Say which other jobs are unfinished here, and what each may still cost."""
    if not jobs:
        return
    noun = "job is" if len(jobs) == 1 else "jobs are"
    wrapping.tell(console, f"{len(jobs)} other {noun} unfinished here; this run touches none:", style="dim")
    for job in jobs[:LISTED]:
        left = job["total"] - words.ended(job)
        name = f"{job['name']}, " if job["name"] else ""
        line = (
            f"{name}{job['status']}, {left:,} of {job['total']:,} records left,"
            f" may still cost {_cost_left(job)}"
        )
        wrapping.tell(console, line, head=f"  {job['id']}  ", style="dim")
    more = f"{len(jobs) - LISTED:,} more: `penstock jobs list`; " if len(jobs) > LISTED else ""
    how = f"{more}`penstock jobs resume ID` goes on with one, `cancel ID` ends it"
    wrapping.tell(console, how, head="  ", style="dim")


def _cost_left(job: Job) -> str:
    left = job.get("cost_remaining")
    return "an unknown sum" if left is None else f"up to {words.about(left)}"
