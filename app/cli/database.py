"""`penstock migrate`, and the operator commands' access to the database."""

import click

from app.errors import Unavailable


@click.command()
def migrate() -> None:
    """Migrate the database in DATABASE_URL to the newest revision."""
    from config import settings
    from models import migrate as migrations

    before, after = migrations.upgrade(settings.current().database_url)
    if before == after:
        click.echo(f"the database is at the newest revision, {after}")
    else:
        click.echo(f"the database was migrated from revision {before or 'none'} to {after}")


def check_revision() -> None:
    """Raise `Unavailable` unless the database has the tables that this code needs."""
    from models import migrate as migrations
    from models.session import engine

    if not migrations.is_current(engine()):
        where = engine().url.render_as_string(hide_password=True)
        raise Unavailable(f"the database {where} is not at the newest revision: run `penstock migrate`")


def use_embedded_broker() -> None:
    """Without REDIS_URL, use the broker of the stack running here. Call this before settings are read."""
    import os

    from app.stack.lock import holder
    from config import settings

    running = holder(settings.read(os.environ).data)
    if running and running.redis_url and not os.environ.get("REDIS_URL", "").strip():
        os.environ["REDIS_URL"] = running.redis_url
