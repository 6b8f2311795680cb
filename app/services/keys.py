"""What the holder of a key may do with the keys of its tenant, through any entry point."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from app.core.accounts import api_keys, audit
from app.core.accounts.api_keys import Caller, Naming
from app.core.accounts.audit import Actor
from app.errors import Forbidden
from models.session import in_transaction, reading
from models.tenant import ApiKey


def create(
    me: Caller, *, name: str, user: str | None, scopes: Sequence[str], naming: Naming | None = None
) -> tuple[ApiKey, str]:
    """A new key of the caller's tenant, and its text; under a `naming` the one that was made before.

    Raises `Forbidden` for scopes that the caller lacks, and without `admin` for another user.
    """
    _check_own_scopes(me, scopes)
    _check_own_user(me, user)
    return make(Actor.with_key(me), me.tenant, name=name, user=user, scopes=scopes, naming=naming)


def make(
    by: Actor,
    tenant: str,
    *,
    name: str,
    user: str | None = None,
    scopes: Sequence[str],
    naming: Naming | None = None,
) -> tuple[ApiKey, str]:
    """The same for any tenant, without asking who may: for the server's own commands."""
    wanted: dict[str, Any] = {"name": name, "user": user, "scopes": scopes}

    def work(session: Session) -> tuple[ApiKey, str]:
        if naming is None:
            key, text, is_new = *api_keys.create(session, tenant, **wanted), True
        else:
            key, text, is_new = api_keys.create_once(session, tenant, naming, **wanted)
        if is_new:
            details = {"name": key.name, "user": key.user.name, "scopes": key.scopes.split()}
            audit.note(session, key.tenant_id, by, audit.KEY_CREATED, ("key", key.prefix), key=details)
        return key, text

    return in_transaction(work)


def list_all(me: Caller) -> list[ApiKey]:
    """The tenant's keys, oldest first, revoked ones included."""
    with reading() as session:
        return api_keys.list_keys(session, me.tenant)


def page(me: Caller, before: int | None, limit: int) -> Sequence[ApiKey]:
    """Up to `limit` of the tenant's keys, newest first, also revoked ones; see `api_keys.page`."""
    with reading() as session:
        return api_keys.page(session, me.tenant_id, before, limit)


def find(me: Caller, key_id: str) -> ApiKey:
    """Raises `NotFound`."""
    with reading() as session:
        return api_keys.find(session, me.tenant_id, key_id)


def revoke(me: Caller, key_id: str) -> ApiKey:
    """Refuse a key from now on; what is open with it ends within seconds.

    Raises `NotFound`, and `Forbidden` for a key with a scope that the caller lacks.
    """

    def work(session: Session) -> ApiKey:
        key = api_keys.find(session, me.tenant_id, key_id)
        if beyond := _beyond_own(me, key.scopes.split()):
            raise Forbidden(
                f"the key {key.prefix} has the scope {beyond}, which {me.prefix} does not have and so cannot"
                " revoke"
            )
        return _end(session, Actor.with_key(me), key.prefix)

    return in_transaction(work)


def end(by: Actor, prefix: str) -> ApiKey:
    """Revoke the key with this prefix, of any tenant; raises `NotFound`."""
    return in_transaction(partial(_end, by=by, prefix=prefix))


def _end(session: Session, by: Actor, prefix: str) -> ApiKey:
    key, is_new = api_keys.revoke(session, prefix)
    if is_new:
        details = {"name": key.name, "user": key.user.name}
        audit.note(session, key.tenant_id, by, audit.KEY_REVOKED, ("key", prefix), key=details)
    return key


def may_revoke(me: Caller, key: ApiKey) -> bool:
    return key.revoked_at is None and not _beyond_own(me, key.scopes.split())


def grantable(me: Caller) -> list[str]:
    """The scopes that the caller may give to a key."""
    return [scope for scope in api_keys.SCOPES if me.may(scope)]


def _check_own_scopes(me: Caller, scopes: Sequence[str]) -> None:
    if beyond := _beyond_own(me, scopes):
        raise Forbidden(f"the key {me.prefix} does not have the scope {beyond} and cannot grant it")


def _check_own_user(me: Caller, user: str | None) -> None:
    """A new user has nothing that could be read; another one has chat batches of its own."""
    if user is not None and user.strip() != me.user and not me.may(api_keys.ADMIN):
        raise Forbidden(
            f"the key {me.prefix} acts for the user {me.user!r} and cannot create a key for {user!r}: this"
            " needs the scope 'admin'; leave user_id out for a new user"
        )


def _beyond_own(me: Caller, scopes: Iterable[str]) -> str:
    """The scopes that the caller does not have, for a sentence; a name that is no scope gives no right."""
    known = [scope for scope in scopes if scope in api_keys.SCOPES]
    return ", ".join(repr(scope) for scope in known if not me.may(scope))
