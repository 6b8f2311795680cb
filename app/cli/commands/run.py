"""`penstock run`: the main job from a terminal."""

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--prompt", metavar="TEMPLATE", help="Prompt for each row, e.g. 'Summarise: {{ review }}'.")
@click.option("--model", help="Model to use  [default: DEFAULT_MODEL; `simulated` where no API key is set]")
@click.option(
    "--max-tokens", type=click.IntRange(min=1), help="Longest answer  [default: DEFAULT_MAX_TOKENS]"
)
@click.option("--system", metavar="TEXT", help="System prompt for every request.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="File for the answers: .csv, .tsv, .jsonl, .xlsx or .xlsm  [default: next to FILE]",
)
@click.option(
    "--max-cost",
    metavar="USD",
    help="Never spend more, in USD; a job that reached its cap continues under a higher one.",
)
@click.option("--rows", type=click.IntRange(min=1), help="Only the first N rows.")
@click.option(
    "--raw",
    is_flag=True,
    help="Write cells of a CSV that begin with =, +, - or @ as they are, without the apostrophe that keeps a"
    " spreadsheet from evaluating them.",
)
@click.option(
    "--again", is_flag=True, help="Run everything again, and pay again, even if it was already answered."
)
@click.pass_context
def run(
    context: click.Context,
    file: Path,
    prompt: str | None,
    model: str | None,
    max_tokens: int | None,
    system: str | None,
    out: Path | None,
    max_cost: str | None,
    rows: int | None,
    raw: bool,
    again: bool,
) -> None:
    """Run every record of FILE (.csv, .tsv, .jsonl, .xlsx or .xlsm) through a model and write the answers
    next to it, in the form of FILE: of a workbook it is the same one with columns added.

    The same command resumes a job that was left unfinished, and writes the answers of a finished one again
    without paying again. Exit code: 0 all succeeded, 3 some failed, 2 bad input, 1 anything else.
    """
    from app.cli.order import Order, check
    from app.cli.session import Session

    order = Order(file, check(file, out), prompt, model, system, max_tokens, rows, max_cost, raw)
    context.exit(Session(order, again=again).run())
