"""The options of `run` and `estimate` that choose a part of a table."""

from collections.abc import Callable

import click

OPTIONS = (
    click.option("--sheet", metavar="NAME", help="Sheet of the workbook  [default: the first one shown]"),
    click.option("--header-row", type=click.IntRange(min=1), help="Row that names the columns  [default: 1]"),
    click.option("--visible-only", is_flag=True, help="Leave out the rows that are hidden in the sheet."),
)


def part_of_a_table(command: Callable[..., None]) -> Callable[..., None]:
    """Add these options to a command, as `sheet`, `header_row` and `visible_only`."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
