"""`penstock run`: the main job from a terminal."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from app.cli.request_options import request_options


@click.command(short_help="Run every record of FILE and write the answers beside it.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@request_options
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="File for the answers: .csv, .tsv, .jsonl, .json, .xlsx, .xlsm or .parquet; - is standard output"
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
@click.option("--with-answer", is_flag=True, help="Keep the whole answer beside the columns of its fields.")
@click.option("--join-lists", is_flag=True, help="Write lists as text parted by '; ' rather than as JSON.")
@click.option(
    "--try",
    "try_first",
    metavar="N",
    type=click.IntRange(min=1, max=1_000),
    help="Ask N rows first, spread over the whole file, show their answers and what all will cost, and go on"
    " only if told to. Nothing is paid twice.",
)
@click.option("--show-schema", is_flag=True, help="Print the JSON Schema of the --field options, and end.")
@click.option(
    "--again", is_flag=True, help="Run everything again, and pay again, even if it was already answered."
)
@click.option("--retry-failed", is_flag=True, help="Run again only what failed; the other answers stay.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before spending more than PENSTOCK_ASK_ABOVE.")
@click.pass_context
def run(
    context: click.Context,
    /,
    files: tuple[Path, ...],
    format: str | None,
    out: Path | None,
    max_cost: str | None,
    patience: int,
    raw: bool,
    again: bool,
    retry_failed: bool,
    yes: bool,
    show_schema: bool,
    **asked: Any,
) -> None:
    """Run every record of FILE through a model and write the answers next to it, in the form of FILE: of a
    workbook it is the same one with columns added.

    FILE is a table (.csv, .tsv, .xlsx, .xlsm, .xls, .xlsb, .ods, .parquet), JSON (.jsonl, .json), or - for
    standard input, whose answers go to standard output. Or it is a folder, a pattern or several files of
    documents (PDF, pictures, DOCX, HTML, Markdown, text): each is asked the prompt, and the answers are a
    table with a row for each.

    The same command resumes a job that was left unfinished, and writes the answers of a finished one again
    without paying again. Exit code: 0 all succeeded, 3 some failed, 2 bad input, 1 anything else.
    """
    from app.cli import given
    from app.cli.session import Session, Wishes

    if show_schema:
        _show_schema(asked)
        return
    with given.order(files, format, out, max_cost=max_cost, raw=raw, **asked) as order:
        wishes = Wishes(again=again, retry_failed=retry_failed, yes=yes, patience=patience)
        code = Session(order, wishes).run()
    context.exit(code)


def _show_schema(asked: Mapping[str, Any]) -> None:
    """What every answer would have to match."""
    from app.core.requests.answer_fields import schema_of

    schema = asked["schema"] or schema_of(asked["answer_fields"])
    if schema is None:
        raise click.UsageError("--show-schema: give at least one --field, such as 'score: 1..5'")
    click.echo(json.dumps(schema, indent=2, ensure_ascii=False))
