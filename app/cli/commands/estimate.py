"""`penstock estimate`: what a run would cost, before it is bought."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from app.cli.request_options import request_options


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@request_options
@click.option("--rows", type=click.IntRange(min=1), help="Only the first N rows.")
def estimate(
    file: Path,
    prompt: str | None,
    model: str | None,
    max_tokens: int | None,
    system: str | None,
    schema: Mapping[str, Any] | None,
    params: Mapping[str, Any],
    rows: int | None,
) -> None:
    """Show what `penstock run FILE` with these options would cost. Nothing is sent or stored, and no key is
    needed.

    Figures are calibrated with your earlier answers from the model, if there are any: run --rows 30 first.
    """
    from dataclasses import replace
    from functools import partial

    from rich.console import Console

    from app.cli import quote, target
    from app.cli.jobs import known
    from app.cli.order import Order, check_input, content
    from app.cli.waiting import waiting

    check_input(file)
    order = Order(file, file, prompt, model, system, max_tokens, rows, schema=schema, params=params)
    wait = partial(waiting, Console(stderr=True, highlight=False))
    with target.any_stack(wait) as stack:
        order = replace(order, reuse=known.sample(known.look(stack.rest), order))
        with content(order) as sent, wait(f"reading {file.name}"):
            found = stack.rest.estimate(sent, order.fields())
    quote.show(found)
