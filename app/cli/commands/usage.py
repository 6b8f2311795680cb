"""`penstock usage`: what calls took and cost, over the native contract."""

from typing import Any

import click

from app.cli import listing, wrapping

GROUPINGS = ("model", "day", "job", "user")
HEADINGS = ("calls", "input", "cached", "output", "cost", "unconfirmed")


@click.command(short_help="Sum up the calls of your tenant: tokens and cost.")
@click.option("--since", metavar="TIME", help="From this date or time (UTC) on  [default: the month's start]")
@click.option("--until", metavar="TIME", help="And before this one  [default: the month's end]")
@click.option("--by", "group_by", type=click.Choice(GROUPINGS), default="model", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known, as JSON.")
def usage(since: str | None, until: str | None, group_by: str, as_json: bool) -> None:
    """Sum up the calls of your tenant, by the time of their end: tokens and cost, from the ledger.

    `input` includes what was written to a provider's cache, `cached` is what was read from it. `unconfirmed`
    is the most that calls may have cost whose outcome nobody knows.
    """
    from app.cli import target

    query = {"group_by": group_by, "limit": "100"}
    query |= {name: time for name, time in (("from", since), ("to", until)) if time}
    with target.running_or_none() as rest:
        found = page = rest.read("/usage", query)
        while page["next_cursor"]:
            page = rest.read("/usage", {**query, "cursor": page["next_cursor"]})
            found["data"] += page["data"]
    del found["next_cursor"]
    if as_json:
        listing.show_json(found)
        return
    rows = [_row(_name(each, group_by), each) for each in found["data"]]
    listing.show((group_by, *HEADINGS), [*rows, _row("total", found["total"])], right=HEADINGS)
    wrapping.paragraph(f"calls that ended from {found['from'][:16]} to {found['to'][:16]} UTC", err=True)


def _name(group: dict[str, Any], group_by: str) -> str:
    """Of a user, with the names of its keys: it may have none of its own."""
    keys = group.get("key_names")
    return f"{group[group_by]} ({', '.join(keys)})" if keys else str(group[group_by])


def _row(name: str, sums: dict[str, Any]) -> list[str]:
    from app.cli import words

    calls, tokens = sums["calls"], sums["usage"]
    written = tokens["cache_write_5m_tokens"] + tokens["cache_write_1h_tokens"]
    return [
        name,
        f"{calls['answered'] + calls['unconfirmed']:,}",
        f"{tokens['input_tokens'] + written:,}",
        f"{tokens['cache_read_tokens']:,}",
        f"{tokens['output_tokens']:,}",
        words.dollars(sums["cost"]),
        words.dollars(sums["cost_unconfirmed"]) if calls["unconfirmed"] else "",
    ]
