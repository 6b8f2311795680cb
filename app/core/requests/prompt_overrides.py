"""A user's own texts in place of those of an operation of config/operations.toml."""

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.ingest import operations
from app.ingest.operations import Operation
from app.ingest.templates import compile_template
from models import upsert
from models.base import now
from models.prompt_override import PromptOverride


def shipped(name: str) -> Operation:
    """The operation that may be overridden; raises `NotFound`."""
    found = operations.shipped().get(name)
    if found is None:
        raise NotFound(f"there is no operation {name!r}: available are {', '.join(operations.shipped())}")
    return found


def find(session: Session, tenant_id: int, user_id: int, name: str) -> PromptOverride | None:
    """The user's own texts for the operation `name`."""
    return session.scalar(
        select(PromptOverride).where(
            PromptOverride.tenant_id == tenant_id,
            PromptOverride.user_id == user_id,
            PromptOverride.name == name,
        )
    )


def of_user(session: Session, tenant_id: int, user_id: int) -> Mapping[str, PromptOverride]:
    """All of the user's own texts, by operation."""
    own = PromptOverride.tenant_id == tenant_id, PromptOverride.user_id == user_id
    return {found.name: found for found in session.scalars(select(PromptOverride).where(*own))}


def check(prompt: str | None, system: str | None) -> None:
    """Raise `BadInput` for a text that is not a template. It takes too long for a transaction."""
    for source in (prompt, system):
        if source is not None:
            compile_template(source)


def put(
    session: Session, tenant_id: int, user_id: int, name: str, *, prompt: str | None, system: str | None
) -> PromptOverride:
    """Set the user's texts for `name`, which have been checked; None keeps the shipped one."""
    texts = {"prompt": prompt, "system": system, "updated_at": now()}
    session.execute(
        upsert.insert(session.get_bind().dialect.name, PromptOverride)
        .values(tenant_id=tenant_id, user_id=user_id, name=name, **texts)
        .on_conflict_do_update(index_elements=["user_id", "name"], set_=texts)
    )
    return session.scalars(
        select(PromptOverride).where(PromptOverride.user_id == user_id, PromptOverride.name == name)
    ).one()


def remove(session: Session, tenant_id: int, user_id: int, name: str) -> bool:
    """Go back to the shipped texts; False when the user had none of their own."""
    removed = session.scalars(
        delete(PromptOverride)
        .where(
            PromptOverride.tenant_id == tenant_id,
            PromptOverride.user_id == user_id,
            PromptOverride.name == name,
        )
        .returning(PromptOverride.name)
    ).all()
    return bool(removed)


def applied(session: Session, tenant_id: int, user_id: int, name: str) -> Operation:
    """The operation `name` with the user's own texts, where there are any."""
    operation = shipped(name)
    own = find(session, tenant_id, user_id, name)
    if own is None:
        return operation
    return replace(operation, prompt=own.prompt or operation.prompt, system=own.system or operation.system)
