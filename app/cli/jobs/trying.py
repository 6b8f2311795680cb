"""A run that was tried on some rows: what they were answered, what all will cost, and whether to go on."""

import json
import sys
from itertools import islice
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli import words, wrapping
from app.cli.client import Job, Rest
from app.cli.phrases import for_terminal
from app.core.pause_reasons import TRIED

SHOWN = 20  # answers
LONGEST = 200  # characters of one


def is_over(job: Job) -> bool:
    """Whether the job is paused because the rows that it was tried on have ended."""
    return job["status"] == "paused" and (job["status_reason"] or "").startswith(TRIED)


def tell(console: Console, rest: Rest, job: Job) -> None:
    """Show the answers, and what the whole job will cost."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("row", justify="right")
    table.add_column("answer")
    ended = [one for word in ("succeeded", "failed") for one in islice(rest.records(job["id"], word), SHOWN)]
    for record in sorted(ended, key=lambda record: int(record["index"]))[:SHOWN]:
        table.add_row(f"{record['index'] + 1:,}", Text(_answer(record)))
    console.print(table)
    forecast = job.get("forecast")
    tried = f"{words.ended(job):,} of {job['total']:,} tried for {words.cost(job)}"
    if forecast is None:
        wrapping.tell(console, f"{tried}; what all will cost is not known", head="try      ")
        return
    low, likely, high = (words.about(forecast[case]) for case in ("low", "likely", "high"))
    wrapping.tell(console, f"{tried}; all will cost {likely} ({low} to {high})", head="try      ")


def goes_on(console: Console, job: Job) -> bool:
    """Ask on a terminal; where nobody can answer, the job waits."""
    if not (sys.stdin.isatty() and console.is_terminal):
        how = f"`penstock jobs resume {job['id']}`, or the same command with --yes, goes on with the others"
        wrapping.tell(console, how, style="dim")
        return False
    try:
        return click.confirm("Go on?", default=True, err=True)
    except click.Abort:  # Ctrl-D or Ctrl-C, which leave the cursor behind the question
        click.echo(err=True)
        return False


def _answer(record: dict[str, Any]) -> str:
    from app.core.reading.answers import answer_text

    value = record.get("value")
    if isinstance(value, dict):
        shown = " · ".join(f"{name}: {part}" for name, part in value.items())
    elif record["error"] is not None:
        shown = f"failed: {record['error']['message']}"
    else:
        shown = answer_text(json.dumps(record["response"]).encode())
    return for_terminal(" ".join(shown.split()))[:LONGEST]
