"""`penstock migrate`."""

import click


@click.command()
def migrate() -> None:
    """Migrate the database in DATABASE_URL to the newest revision."""
    from config import private, settings
    from models import migrate as migrations

    private.keep(settings.current())
    before, after = migrations.upgrade(settings.current().database_url)
    if migrations.is_ahead(before):
        click.echo(
            f"the database is at revision {before}: a newer release has migrated it, and this one can go on"
        )
    elif before == after:
        click.echo(f"the database is at the newest revision, {after}")
    else:
        click.echo(f"the database was migrated from revision {before or 'none'} to {after}")
