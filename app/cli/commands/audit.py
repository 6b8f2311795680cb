"""`penstock audit`: what was done in a tenant's name, over the native contract."""

from itertools import islice

import click

from app.cli import listing

LISTED = 20
HEADINGS = ("time (UTC)", "event", "resource", "id")


@click.command()
@click.option("--type", "event_type", metavar="WORD", help="Only events of this type, as DOCUMENT_INGESTED.")
@click.option("--limit", default=LISTED, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "as_json", is_flag=True, help="Print the events with their details, as JSON.")
def audit(event_type: str | None, limit: int, as_json: bool) -> None:
    """List the newest events of your tenant's audit log."""
    from app.cli import target

    query = {"event_type": event_type} if event_type else {}
    with target.running_or_none() as rest:
        found = list(islice(rest.pages("/audit", query), limit))
    if as_json:
        listing.show_json(found)
        return
    rows = [
        (event["created_at"][:19], event["event_type"], event["resource_type"], event["resource_id"])
        for event in found
    ]
    listing.show(HEADINGS, rows)
