"""`penstock estimate`: what a run would cost, before it is bought."""

from pathlib import Path

import click

from app.cli.part import part_of_a_table


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--prompt", metavar="TEMPLATE", help="Prompt for each row, e.g. 'Summarise: {{ review }}'.")
@click.option("--model", help="Model to use  [default: DEFAULT_MODEL; `simulated` where no API key is set]")
@click.option(
    "--max-tokens", type=click.IntRange(min=1), help="Longest answer  [default: DEFAULT_MAX_TOKENS]"
)
@click.option("--system", metavar="TEXT", help="System prompt for every request.")
@click.option("--rows", type=click.IntRange(min=1), help="Only the first N rows that are asked.")
@part_of_a_table
def estimate(
    file: Path,
    prompt: str | None,
    model: str | None,
    max_tokens: int | None,
    system: str | None,
    rows: int | None,
    sheet: str | None,
    header_row: int | None,
    visible_only: bool,
) -> None:
    """Show what `penstock run FILE` with these options would cost. Nothing is sent or stored.

    Figures are calibrated with your earlier answers from the model, if there are any: run --rows 30 first.
    """
    from dataclasses import replace
    from functools import partial

    from rich.console import Console

    from app.cli import quote, target
    from app.cli.order import Order, check_input
    from app.cli.waiting import waiting
    from app.providers.registry import SIMULATED

    check_input(file)
    part = sheet, header_row, visible_only
    order = Order(file, file, prompt, model, system, max_tokens, rows, None, *part)
    wait = partial(waiting, Console(stderr=True, highlight=False))
    with target.any_stack(wait) as stack:
        if model is None and stack.asks_claude is False:
            order = replace(order, model=SIMULATED.name)
        with wait(f"reading {file.name}"):
            found = stack.rest.estimate(file, order.fields())
    quote.show(found)
