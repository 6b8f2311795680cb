"""What the operator's commands need of the database."""

from app.errors import Unavailable


def check_revision() -> None:
    """Raise `Unavailable` unless the database has the tables that this code needs."""
    from config import private, settings
    from models import migrate as migrations
    from models.session import engine

    private.keep(settings.current())
    if (why_not := migrations.why_not_current(engine())) is not None:
        raise Unavailable(f"{why_not} ({engine().url.render_as_string(hide_password=True)})")


def use_embedded_broker() -> None:
    """Without REDIS_URL, use the broker of the stack running here. Call this before settings are read."""
    import os

    from app.stack.lock import holder
    from config import settings

    running = holder(settings.read(os.environ).data)
    if running and running.redis_url and not os.environ.get("REDIS_URL", "").strip():
        os.environ["REDIS_URL"] = running.redis_url


def has_servers() -> bool:
    """Whether anything is there to be examined: a stack that runs here, or servers that were named."""
    import os

    return any(
        os.environ.get(name, "").strip() for name in ("REDIS_URL", "CELERY_BROKER_URL", "DATABASE_URL")
    )
