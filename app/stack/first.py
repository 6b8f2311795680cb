"""What a stack does before it serves: migrations, and a first API key."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from models import migrate as migrations
from models.session import in_transaction, reading

FILE = "api-key"


def migrate(url: str, say: Callable[[str], None]) -> None:
    """Migrate the database to the newest revision."""
    before, after = migrations.upgrade(url)
    if before is not None and before != after:
        say(f"database migrated from revision {before} to {after}")


def key(data: Path) -> tuple[Path, str | None]:
    """The file with a working API key, and the key itself if it was just created.

    One is created the first time, and for a database that does not know the one in the file.
    """
    kept = data / FILE
    if kept.exists() and _works(kept.read_text(encoding="utf-8").strip()):
        return kept, None
    text = _make()
    _keep(kept, text)
    return kept, text


def invitation(kept: Path) -> str | None:
    """The token of a link that signs a browser in with the key in the file, once and within a minute."""
    from app.core.accounts import browser_sessions

    prefix = kept.read_text(encoding="utf-8").strip().rpartition("_")[0]
    return in_transaction(partial(browser_sessions.invite, prefix=prefix))


def _works(text: str) -> bool:
    from app.core.accounts import api_keys

    with reading() as session:
        return api_keys.verify(session, text) is not None


def _make() -> str:
    from app.core.accounts import api_keys
    from app.core.accounts.audit import Actor
    from app.services import keys

    scopes = [api_keys.ADMIN, api_keys.OPERATOR]  # whoever starts a stack operates it
    by, tenant = Actor.at_terminal("penstock up"), api_keys.FIRST_TENANT
    return keys.make(by, tenant, name="penstock up", scopes=scopes)[1]


def _keep(path: Path, text: str) -> None:
    """Write it completely, for this user only."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    private = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # a mode from the start
    with open(private, "w", encoding="utf-8") as file:  # noqa: PTH123 - it is open already
        file.write(f"{text}\n")
    part.replace(path)
