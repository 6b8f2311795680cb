"""`penstock limits`: what the providers allow, over the native contract."""

from typing import Any

import click

from app.cli import listing, wrapping
from app.cli.input.amounts import NONE, Amount, given

FIGURES = {  # on the wire: what of `used` counts toward it
    "requests_per_minute": "requests",
    "input_tokens_per_minute": "input_tokens",
    "output_tokens_per_minute": "output_tokens",
    "max_concurrent_calls": "calls_in_flight",
}
HEADINGS = ("group", "requests", "input tokens", "output tokens", "in flight", "limited by", "waiting")


@click.group()
def limits() -> None:
    """List and set the limits of the providers, for all workers."""


@limits.command("list", short_help="List what each group has used of its limits.")
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known, as JSON.")
def list_limits(as_json: bool) -> None:
    """List the limit groups in use: what each has used of what it may use in a minute.

    `?` stands for what is not known: without Redis, or to a key that lacks the scope `operator`; `-` for no
    limit.
    """
    from app.cli import target

    with target.running_or_none() as rest:
        found = rest.read("/limits", {})["data"]
    if as_json:
        listing.show_json(found)
        return
    listing.show(HEADINGS, [_row(group) for group in found], right=HEADINGS[1:5])
    if not found:
        wrapping.paragraph("no group is in use: a job brings its model's group, and so does `limits set`")


@limits.command("set", short_help="Set the limits of GROUP for all workers.")
@click.argument("group")
@click.option("--requests-per-minute", type=Amount(), help="Calls that start in any minute.")
@click.option("--input-tokens-per-minute", type=Amount(), help="Input tokens of any minute.")
@click.option("--output-tokens-per-minute", type=Amount(), help="Output tokens of any minute.")
@click.option("--max-concurrent-calls", type=Amount(), help="Calls in flight, of all jobs together.")
def set_limits(group: str, **values: int | None) -> None:
    """Set the limits of GROUP, such as `anthropic:haiku-4.5`, for all workers within a second.

    Omitted ones stay as they are; `none` returns one to what is configured. Needs a key with the scope
    `operator`, which the first key of `penstock up` has.
    """
    from urllib.parse import quote

    from app.cli import target

    figures = given(values, "limit")
    with target.running_or_none() as rest:
        found = rest.send("PUT", f"/limits/{quote(group, safe='')}", figures)
    allowed = {name: found["allowed"][name]["figure"] for name in figures}
    told = ", ".join(f"{name.replace('_', ' ')} {_number(figure)}" for name, figure in allowed.items())
    click.echo(f"limits of {found['group']}: {told}", err=True)


def _row(group: dict[str, Any]) -> list[str]:
    used = group["used"] or {}
    figures = [
        f"{_number(used.get(counted), '?')}/{_number(group['allowed'][name]['figure'], '-')}"
        for name, counted in FIGURES.items()
    ]
    waiting = len(group["waiting"]) + (group["waiting_of_others"] or 0)
    return [group["group"], *figures, group["limited_by"] or "", f"{waiting:,}" if waiting else ""]


def _number(figure: int | None, otherwise: str = NONE) -> str:
    return otherwise if figure is None else f"{figure:,}"
