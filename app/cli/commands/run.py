"""`penstock run`: the main job from a terminal."""

from pathlib import Path
from typing import Any

import click

from app.cli.request_options import request_options


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@request_options
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="File for the answers: .csv, .tsv, .jsonl, .json, .xlsx or .xlsm; - is standard output"
    "  [default: next to FILE]",
)
@click.option(
    "--max-cost",
    metavar="USD",
    help="Never spend more, in USD; a job that reached its cap continues under a higher one.",
)
@click.option(
    "--patience",
    default=60,
    show_default=True,
    metavar="SECONDS",
    type=click.IntRange(min=0),
    help="Give up after so long without an answer while something keeps calls from being made; 0: never.",
)
@click.option(
    "--raw",
    is_flag=True,
    help="Write cells of a CSV that begin with =, +, - or @ as they are, without the apostrophe that keeps a"
    " spreadsheet from evaluating them.",
)
@click.option(
    "--again", is_flag=True, help="Run everything again, and pay again, even if it was already answered."
)
@click.option("--retry-failed", is_flag=True, help="Run again only what failed; the other answers stay.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before spending more than PENSTOCK_ASK_ABOVE.")
@click.pass_context
def run(
    context: click.Context,
    /,
    file: Path,
    format: str | None,
    out: Path | None,
    max_cost: str | None,
    patience: int,
    raw: bool,
    again: bool,
    retry_failed: bool,
    yes: bool,
    **asked: Any,
) -> None:
    """Run every record of FILE (.csv, .tsv, .jsonl, .json, .xlsx or .xlsm) through a model and write the
    answers next to it, in the form of FILE: of a workbook it is the same one with columns added. With - as
    FILE the records come by standard input, and the answers go to standard output.

    The same command resumes a job that was left unfinished, and writes the answers of a finished one again
    without paying again. Exit code: 0 all succeeded, 3 some failed, 2 bad input, 1 anything else.
    """
    from app.cli.input import stdin
    from app.cli.jobs import written
    from app.cli.order import Order, check
    from app.cli.session import Session, Wishes

    if file == stdin.STREAM and out is None:
        out = stdin.STREAM
    with stdin.kept(file, format) as read:
        out = check(read, out)
        if out != stdin.STREAM:
            written.check(out)
        order = Order(read, out, max_cost=max_cost, raw=raw, **asked)
        if order.to_stdout:
            written.check_stdout(order.format)
        wishes = Wishes(again=again, retry_failed=retry_failed, yes=yes, patience=patience)
        code = Session(order, wishes).run()
    context.exit(code)
