"""`penstock keys`: API keys for operators, directly on the database."""

from typing import Any

import click

from app.cli import listing
from app.cli.database import check_revision


class _TellsScopes(click.Command):
    """A command whose help ends with the table of scopes, which is read only then: it takes SQLAlchemy."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from app.core.accounts.api_keys import MEANINGS

        with formatter.section("Scopes"):
            formatter.write_dl(list(MEANINGS.items()))


@click.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command(cls=_TellsScopes)
@click.option(
    "--tenant",
    default="default",
    show_default=True,
    help="Tenant whose jobs the key sees; created if it is new.",
)
@click.option("--user", help="User that it acts for  [default: a new user]")
@click.option(
    "--scopes",
    default="jobs:read jobs:write",
    show_default=True,
    help="What it may do: scopes from the table below, separated by spaces or commas.",
)
@click.option("--name", default="penstock keys create", show_default=True, help="What it is for.")
def create(tenant: str, user: str | None, scopes: str, name: str) -> None:
    """Create a key. It is printed as the last line, alone on standard output, and never shown again."""
    check_revision()
    from app.core.accounts.audit import Actor
    from app.services import keys as service

    by, wanted = Actor.at_terminal("penstock keys create"), scopes.replace(",", " ").split()
    row, text = service.make(by, tenant, name=name, user=user, scopes=wanted)
    click.echo(
        f"key {row.prefix} of tenant {row.tenant.name}, user {row.user.name}, scopes {row.scopes}:", err=True
    )
    click.echo(text)


@keys.command("list", cls=_TellsScopes)
@click.option("--tenant", help="Only the keys of this tenant.")
def list_keys(tenant: str | None) -> None:
    """List every key, by its prefix."""
    check_revision()
    from app.core.accounts import api_keys as core
    from app.core.accounts import quotas
    from models.session import reading

    def row(key: Any) -> list[str]:
        revoked = f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else ""
        created = f"{key.created_at:%Y-%m-%d %H:%M}"
        return [key.prefix, key.tenant.name, key.user.name, created, revoked, key.scopes, key.name]

    headings = ("prefix", "tenant", "user", "created", "revoked", "scopes", "name")
    with reading() as session:
        if tenant is not None:
            quotas.find(session, tenant)
        listing.show(headings, [row(key) for key in core.list_keys(session, tenant)])


@keys.command(short_help="Revoke a key.")
@click.argument("prefix")
def revoke(prefix: str) -> None:
    """Revoke the key with this PREFIX: it is rejected from now on; what is open with it ends in seconds."""
    check_revision()
    from app.core.accounts.audit import Actor
    from app.services import keys as service

    row = service.end(Actor.at_terminal("penstock keys revoke"), prefix)
    click.echo(
        f"key {row.prefix} of tenant {row.tenant.name} was revoked at {row.revoked_at:%Y-%m-%d %H:%M} UTC"
    )
