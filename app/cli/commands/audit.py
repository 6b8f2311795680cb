"""`penstock audit`: what was done in a tenant's name, over the contract or directly on the database."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from app.cli import listing

LISTED = 20
HEADINGS = ("time (UTC)", "event", "by", "resource", "id", "details")
UNTOLD = ("by", "metadata")  # it has a column of its own; a document's is whatever its sender said
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@click.command(short_help="List who changed what in a tenant's name, newest first.")
@click.option("--type", "event_type", metavar="WORD", help="Only events of this type, as KEY_CREATED.")
@click.option("--tenant", help="Of this tenant, directly from the database  [default: that of your key]")
@click.option("--limit", default=LISTED, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "as_json", is_flag=True, help="Print the events with their details, as JSON.")
def audit(event_type: str | None, tenant: str | None, limit: int, as_json: bool) -> None:
    """List the newest events of a tenant's audit log, and who caused each.

    Keys that were created and revoked, quotas and caps, limits and webhooks that were changed, and documents
    that were stored. What the command line does to a tenant is in the log of that tenant; limits, which have
    none, are in the log of the tenant whose key has set them.
    """
    found = _of_key(event_type, limit) if tenant is None else _stored(tenant, event_type, limit)
    if as_json:
        listing.show_json(found)
        return
    listing.show(HEADINGS, [_row(event) for event in found])


def _of_key(event_type: str | None, limit: int) -> list[dict[str, Any]]:
    from app.cli import target

    query = {"event_type": event_type} if event_type else {}
    with target.running_or_none() as rest:
        return list(islice(rest.pages("/audit", query), limit))


def _stored(tenant: str, event_type: str | None, limit: int) -> list[dict[str, Any]]:
    from app.cli.database import check_revision
    from app.services import tenants

    check_revision()
    return tenants.audited(tenant, event_type, limit)


def _row(event: dict[str, Any]) -> list[str]:
    details = event["details"]
    by = details.get("by", {})
    return [
        event["created_at"][:19],
        event["event_type"],
        _who(by),
        event["resource_type"],
        event["resource_id"],
        "; ".join(_told({name: value for name, value in details.items() if name not in UNTOLD})),
    ]


def _who(by: dict[str, str]) -> str:
    """A user without a name of its own is left out, as it is a key's."""
    means, user = by.get("key") or by.get("command", ""), by.get("user", "")
    return means if _UUID.fullmatch(user) or not user else f"{means} ({user})"


def _told(details: dict[str, Any]) -> Iterator[str]:
    """What has changed from what to what, and else what the resource is."""
    for name, value in details.items():
        if not isinstance(value, dict):
            yield f"{_name(name)} {_word(value)}"
        elif "from" in value and "to" in value:
            yield f"{_name(name)} {_word(value['from'])} -> {_word(value['to'])}"
        else:
            yield from _told(value)


def _name(field: str) -> str:
    return field.replace("_", " ")


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return {None: "none", True: "yes", False: "no"}.get(value, str(value))
