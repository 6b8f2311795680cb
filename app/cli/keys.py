"""`penstock keys`: the operator's way to API keys, on the database itself."""

from typing import Any

import click

from app.cli import listing
from app.cli.database import check_revision


@click.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command()
@click.option(
    "--tenant", default="default", show_default=True, help="Whose jobs the key sees; made if it is new."
)
@click.option("--user", help="In whose name it acts  [default: a user of its own]")
@click.option(
    "--scopes",
    default="jobs:read jobs:write",
    show_default=True,
    help="jobs:read, jobs:write, keys, limits, admin; by spaces or commas.",
)
@click.option("--name", default="penstock keys create", show_default=True, help="What it is for.")
def create(tenant: str, user: str | None, scopes: str, name: str) -> None:
    """Make a key. Its text is the last line, alone on the standard output, and is never shown again."""
    check_revision()
    from app.core.accounts import api_keys as core
    from models.session import in_transaction

    wanted = scopes.replace(",", " ").split()
    row, text = in_transaction(
        lambda session: core.create(session, tenant, name=name, user=user, scopes=wanted)
    )
    click.echo(
        f"key {row.prefix} of tenant {row.tenant.name}, user {row.user.name}, scopes {row.scopes}:", err=True
    )
    click.echo(text)


@keys.command("list")
@click.option("--tenant", help="Only the keys of this tenant.")
def list_keys(tenant: str | None) -> None:
    """Every key, by its prefix."""
    check_revision()
    from app.core.accounts import api_keys as core
    from models.session import reading

    def row(key: Any) -> list[str]:
        revoked = f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else ""
        created = f"{key.created_at:%Y-%m-%d %H:%M}"
        return [key.prefix, key.tenant.name, key.user.name, created, revoked, key.scopes, key.name]

    headings = ("prefix", "tenant", "user", "created", "revoked", "scopes", "name")
    with reading() as session:
        listing.show(headings, [row(key) for key in core.list_keys(session, tenant)])


@keys.command()
@click.argument("prefix")
def revoke(prefix: str) -> None:
    """Refuse the key with this PREFIX from now on."""
    check_revision()
    from app.core.accounts import api_keys as core
    from models.session import in_transaction

    row = in_transaction(lambda session: core.revoke(session, prefix))
    click.echo(
        f"key {row.prefix} of tenant {row.tenant.name} is refused since {row.revoked_at:%Y-%m-%d %H:%M} UTC"
    )
