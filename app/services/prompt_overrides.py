"""A user's own texts for the built-in operations, through any entry point."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from app.core.accounts.api_keys import Caller
from app.core.requests import prompt_overrides
from app.errors import NotFound
from app.ingest import operations
from app.ingest.operations import Operation
from models.prompt_override import PromptOverride
from models.session import in_transaction, reading


@dataclass(frozen=True, slots=True)
class Texts:
    """An operation as it is built in, and the user's own texts for it."""

    name: str
    shipped: Operation
    own: PromptOverride | None


def get(me: Caller, name: str) -> Texts:
    """Raises `NotFound` for what is no operation."""
    operation = prompt_overrides.shipped(name)
    with reading() as session:
        return Texts(name, operation, prompt_overrides.find(session, me.tenant_id, me.user_id, name))


def list_all(me: Caller) -> list[Texts]:
    """Every operation, in the order of config/operations.toml."""
    shipped: Mapping[str, Operation] = operations.shipped()
    with reading() as session:
        own = prompt_overrides.of_user(session, me.tenant_id, me.user_id)
    return [Texts(name, operation, own.get(name)) for name, operation in shipped.items()]


def put(me: Caller, name: str, *, prompt: str | None, system: str | None) -> Texts:
    """Set the user's texts, for later submissions that ask for them; None keeps the built-in one.

    Raises `NotFound`, and `BadInput` for a text that is not a template.
    """
    operation = prompt_overrides.shipped(name)
    prompt_overrides.check(prompt, system)
    put = partial(prompt_overrides.put, tenant_id=me.tenant_id, user_id=me.user_id, name=name)
    return Texts(name, operation, in_transaction(partial(put, prompt=prompt, system=system)))


def remove(me: Caller, name: str) -> None:
    """Go back to the built-in texts; raises `NotFound` where the user has no others."""
    prompt_overrides.shipped(name)
    remove = partial(prompt_overrides.remove, tenant_id=me.tenant_id, user_id=me.user_id, name=name)
    if not in_transaction(remove):
        raise none_of(name)


def none_of(name: str) -> NotFound:
    return NotFound(f"you have no texts of your own for {name!r}: the built-in ones are used")
