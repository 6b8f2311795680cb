"""`penstock webhooks`: where events are sent, and what became of them, over the native contract."""

from itertools import islice
from typing import Any

import click

from app.cli import listing

LISTED = 20
STATUSES = ("pending", "succeeded", "failed")
ENDPOINTS = ("endpoint", "state", "events", "url")
DELIVERIES = ("delivery", "status", "tries", "event", "answer", "url")


@click.group(short_help="List webhooks and what was sent to them; send it again.")
def webhooks() -> None:
    """List webhooks and what was sent to them, send it again, and try them out."""


@webhooks.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known, as JSON.")
def list_webhooks(as_json: bool) -> None:
    """List the endpoints of your tenant, newest first."""
    from app.cli import target

    with target.running_or_none() as rest:
        found = list(rest.pages("/webhooks", {}))
    if as_json:
        listing.show_json(found)
        return
    rows = [(each["id"], _state(each), ", ".join(each["event_types"]), each["url"]) for each in found]
    listing.show(ENDPOINTS, rows)


@webhooks.command()
@click.option("--status", type=click.Choice(STATUSES), help="Only these.")
@click.option("--endpoint", metavar="ID", help="Only those to this endpoint.")
@click.option("--job", metavar="ID", help="Only those about this job.")
@click.option("--limit", default=LISTED, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known, as JSON.")
def deliveries(limit: int, as_json: bool, **only: str | None) -> None:
    """List what was sent and is to be sent, newest first."""
    from app.cli import target

    query = {name: value for name, value in only.items() if value}
    with target.running_or_none() as rest:
        found = list(islice(rest.pages("/webhook-deliveries", query), limit))
    if as_json:
        listing.show_json(found)
        return
    listing.show(DELIVERIES, [_delivery(each) for each in found], right=("tries",))


@webhooks.command(short_help="Send a DELIVERY again.")
@click.argument("delivery")
def resend(delivery: str) -> None:
    """Send a DELIVERY again, at once and under the same `webhook-id`."""
    from app.cli import target

    with target.running_or_none() as rest:
        found = rest.send("POST", f"/webhook-deliveries/{delivery}/resend")
    click.echo(f"delivery {found['id']} is sent again to {found['url']}")


@webhooks.command(short_help="Send a sample EVENT to an ENDPOINT now.")
@click.argument("endpoint")
@click.argument("event", default="job.completed")
def test(endpoint: str, event: str) -> None:
    """Send a sample EVENT to an ENDPOINT now  [default: job.completed]."""
    from app.cli import target

    with target.running_or_none() as rest:
        found = rest.send("POST", f"/webhooks/{endpoint}/test", {"event_type": event})
    click.echo(f"{endpoint} answered {found['status_code']}")


def _state(endpoint: dict[str, Any]) -> str:
    if not endpoint["enabled"]:
        return "off"
    return "failing" if endpoint["failing_since"] else "on"


def _delivery(found: dict[str, Any]) -> list[str]:
    answer = found["last_status_code"] or found["last_error"] or ""
    return [
        found["id"],
        found["status"],
        str(found["attempts"]),
        found["event_type"],
        str(answer),
        found["url"],
    ]
