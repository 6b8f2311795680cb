"""`penstock tenants`: quotas and caps for operators, directly on the database."""

from typing import TYPE_CHECKING

import click

from app.cli import listing
from app.cli.database import check_revision
from app.cli.input.amounts import NONE, Amount, Dollars, given

if TYPE_CHECKING:
    from app.core.money.spend import Spent

QUOTAS = ("records_per_hour", "records_per_day", "bytes_per_hour", "bytes_per_day")
PER = ("records/hour", "records/day", "bytes/hour", "bytes/day")
MONEY = ("spent today", "unconfirmed", "daily cap", "this month", "unconfirmed", "monthly cap")
HEADER = ("tenant", *PER, *MONEY)


@click.group()
def tenants() -> None:
    """Set what a tenant may submit and spend."""


@tenants.command("list", short_help="List tenants with quotas, caps and what they spent.")
def list_tenants() -> None:
    """List the tenants with their quotas, their caps, and what they have spent.

    `unconfirmed` is the most that calls may have cost whose outcome nobody knows, as of a worker that was
    killed. A cap counts it, too.
    """
    check_revision()
    from app.core.accounts import quotas
    from models.session import reading

    with reading() as session:
        rows = [
            (
                found.tenant.name,
                *(_count(getattr(found.tenant, quota)) for quota in QUOTAS),
                *_money(found.today, found.tenant.daily_cap),
                *_money(found.month, found.tenant.monthly_cap),
            )
            for found in quotas.listed(session)
        ]
    listing.show(HEADER, rows, right=HEADER[1:])


def _count(quota: int | None) -> str:
    return "" if quota is None else str(quota)


def _money(spent: "Spent", cap: int | None) -> tuple[str, str, str]:
    from app.cli import words
    from app.core.money import pricing

    cost, unconfirmed = (words.dollars(pricing.dollars(part)) for part in (spent.cost, spent.unconfirmed))
    return cost, unconfirmed, "" if cap is None else words.dollars(pricing.dollars(cap))


@tenants.command("set", short_help="Set a tenant's quotas and caps.")
@click.argument("name")
@click.option("--records-per-hour", type=Amount(), help="Across all its jobs.")
@click.option("--records-per-day", type=Amount(), help="In any 24 hours.")
@click.option("--bytes-per-hour", type=Amount(), help="Of its records and documents, as stored.")
@click.option("--bytes-per-day", type=Amount(), help="In any 24 hours.")
@click.option("--daily-cap", type=Dollars(), help="USD per day (UTC); its jobs pause before it is exceeded.")
@click.option("--monthly-cap", type=Dollars(), help="USD per calendar month (UTC).")
def set_tenant(name: str, **values: int | None) -> None:
    """Set a tenant's quotas and caps; omitted ones stay as they are, `none` removes one."""
    wanted = given(values, "quota or cap")
    check_revision()
    from app.core.accounts.audit import Actor
    from app.services import tenants as service

    service.change(Actor.at_terminal("penstock tenants set"), name, wanted)
    told = ", ".join(f"{option.replace('_', ' ')} {_set(option, wanted[option])}" for option in wanted)
    click.echo(f"tenant {name}: {told}", err=True)


def _set(option: str, value: int | None) -> str:
    from app.cli import words
    from app.core.money import pricing

    if value is None:
        return NONE
    return f"{value:,}" if option in QUOTAS else words.dollars(pricing.dollars(value))
