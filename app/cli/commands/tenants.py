"""`penstock tenants`: quotas and caps for operators, directly on the database."""

from typing import Any

import click

from app.cli import listing
from app.cli.database import check_revision

NONE = "none"
PER = ("records/hour", "records/day", "bytes/hour", "bytes/day")
HEADER = ("tenant", *PER, "spent today", "spent this month")


class Amount(click.ParamType[int | None]):
    """A whole number of records or bytes, or `none`."""

    name = "N|none"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | None:
        if value == NONE:
            return None
        if not str(value).isdigit() or not 0 < int(value) < 10**15:
            self.fail(f"{value!r} is neither a whole number above 0 nor {NONE!r}", param, ctx)
        return int(value)


class Dollars(click.ParamType[int | None]):
    """Dollars, or `none`; pico-dollars internally."""

    name = "USD|none"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | None:
        from app.core.money import pricing

        if value == NONE:
            return None
        try:
            return pricing.pico(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither an amount in dollars such as 2.50 nor {NONE!r}", param, ctx)


@click.group()
def tenants() -> None:
    """Set what a tenant may submit and spend."""


@tenants.command("list")
def list_tenants() -> None:
    """List the tenants with their quotas, their caps, and what they have spent."""
    check_revision()
    from app.core.accounts import quotas
    from app.core.money import pricing
    from models.session import reading

    def of(spent: int, cap: int | None) -> str:
        text = f"${pricing.dollars(spent)}"
        return text if cap is None else f"{text} of ${pricing.dollars(cap)}"

    with reading() as session:
        rows = [
            (
                found.tenant.name,
                str(found.tenant.records_per_hour or ""),
                str(found.tenant.records_per_day or ""),
                str(found.tenant.bytes_per_hour or ""),
                str(found.tenant.bytes_per_day or ""),
                of(found.today, found.tenant.daily_cap),
                of(found.month, found.tenant.monthly_cap),
            )
            for found in quotas.listed(session)
        ]
    listing.show(HEADER, rows)


@tenants.command("set")
@click.argument("name")
@click.option("--records-per-hour", type=Amount(), help="Across all its jobs.")
@click.option("--records-per-day", type=Amount(), help="In any 24 hours.")
@click.option("--bytes-per-hour", type=Amount(), help="Of its records and documents, as stored.")
@click.option("--bytes-per-day", type=Amount(), help="In any 24 hours.")
@click.option("--daily-cap", type=Dollars(), help="USD per day (UTC); its jobs pause before it is exceeded.")
@click.option("--monthly-cap", type=Dollars(), help="USD per calendar month (UTC).")
def set_tenant(name: str, **values: int | None) -> None:
    """Set a tenant's quotas and caps; omitted ones stay as they are, `none` removes one."""
    context = click.get_current_context()
    check_revision()
    from app.core.accounts import quotas
    from models.session import in_transaction

    given = {
        option: value
        for option, value in values.items()
        if context.get_parameter_source(option) is click.core.ParameterSource.COMMANDLINE
    }
    if not given:
        raise click.UsageError("give at least one quota or cap to set")
    in_transaction(lambda session: quotas.change(session, name, given))
    click.echo(f"tenant {name}: {', '.join(option.replace('_', ' ') for option in given)} set", err=True)
