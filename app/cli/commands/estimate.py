"""`penstock estimate`: what a run would cost, before it is bought."""

from pathlib import Path
from typing import Any

import click

from app.cli.request_options import request_options


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@request_options
def estimate(file: Path, format: str | None, **asked: Any) -> None:
    """Show what `penstock run FILE` with these options would cost. Nothing is sent or stored, and no key is
    needed.

    Figures are calibrated with your earlier answers from the model, if there are any: run --rows 30 first.
    """
    from dataclasses import replace
    from functools import partial

    from rich.console import Console

    from app.cli import quote, target
    from app.cli.input import stdin
    from app.cli.jobs import known
    from app.cli.order import Order, check_input
    from app.cli.waiting import waiting

    wait = partial(waiting, Console(stderr=True, highlight=False))
    with stdin.kept(file, format) as read:
        check_input(read)
        order = Order(read, read, **asked)
        with target.any_stack(wait) as stack:
            order = replace(order, reuse=known.sample(known.look(stack.rest), order))
            with wait(f"reading {read.name}"):
                found = stack.rest.estimate(read, order.fields())
    quote.show(found)
