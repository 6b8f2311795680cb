"""API keys of the caller's tenant."""

from collections.abc import Iterable, Sequence
from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from app.api.blueprint import Blueprint
from app.api.request_schemas import KeyIn
from app.api.response_schemas import KeyList, NewKeyOut
from app.core.accounts import api_keys
from app.core.json_text import timestamp
from app.errors import BadInput, Forbidden
from app.web import idempotency
from app.web.auth import caller, key_text, needs
from models.session import in_transaction, reading
from models.tenant import ApiKey

blp = Blueprint("keys", "API keys of your tenant.")


@blp.route("/keys", methods=["POST"])
@needs(api_keys.KEYS)
@blp.doc(parameters=[idempotency.DESCRIPTION])
@blp.arguments(KeyIn, example={"name": "nightly script", "scopes": ["jobs:read", "jobs:write"]})
@blp.response(201, NewKeyOut)
def create_key(asked: dict[str, Any]) -> dict[str, Any]:
    """Create a key. Only this response shows it.

    A key can grant only scopes that it has itself; `admin` has those of a tenant, `operator` those of the
    whole system. Without `admin` it creates keys only for its own user, or for a new one (no `user_id`).

    Repeated by the same key with the same `Idempotency-Key`, the response is the same.
    """
    me, sending = caller(), idempotency.sending(request.headers)
    _check_own_scopes(asked["scopes"])
    _check_own_user(asked["user_id"])
    wanted = {"name": asked["name"], "user": asked["user_id"], "scopes": asked["scopes"]}

    def work(session: Session) -> dict[str, Any]:
        if sending is None or sending.key is None:
            key, text = api_keys.create(session, me.tenant, **wanted)
        else:
            key, text = api_keys.create_once(session, me.tenant, _naming(sending.key), **wanted)
        return _key_out(key) | {"key": text}

    return in_transaction(work)


@blp.route("/keys", methods=["GET"])
@needs(api_keys.KEYS)
@blp.response(200, KeyList)
def list_keys() -> dict[str, Any]:
    """List the tenant's keys, oldest first, including those that were revoked."""
    with reading() as session:
        return {"data": [_key_out(key) for key in api_keys.list_keys(session, caller().tenant)]}


@blp.route("/keys/<key_id>", methods=["DELETE"])
@needs(api_keys.KEYS, 404)
@blp.response(204)
def revoke_key(key_id: str) -> Response:
    """Revoke a key: it is rejected from now on, and what is open with it ends within seconds.

    A key can revoke only keys that have no scope beyond its own.
    """
    me = caller()

    def work(session: Session) -> None:
        key = api_keys.find(session, me.tenant_id, key_id)
        if beyond := _beyond_own(key.scopes.split()):
            raise Forbidden(
                f"the key {key.prefix} has the scope {beyond}, which {me.prefix} does not have and so cannot"
                " revoke"
            )
        api_keys.revoke(session, key.prefix)

    in_transaction(work)
    return Response(status=204)


def _naming(name: str) -> api_keys.Naming:
    maker = key_text()
    if maker is None:
        raise BadInput("Idempotency-Key: creating a key with one requires a caller that has a key")
    return api_keys.Naming(maker, name)


def _check_own_scopes(scopes: Sequence[str]) -> None:
    if beyond := _beyond_own(scopes):
        raise Forbidden(f"the key {caller().prefix} does not have the scope {beyond} and cannot grant it")


def _check_own_user(user: str | None) -> None:
    """A new user has nothing that could be read; another one has chat batches of its own."""
    me = caller()
    if user is not None and user.strip() != me.user and not me.may(api_keys.ADMIN):
        raise Forbidden(
            f"the key {me.prefix} acts for the user {me.user!r} and cannot create a key for {user!r}: this"
            " needs the scope 'admin'; leave user_id out for a new user"
        )


def _beyond_own(scopes: Iterable[str]) -> str:
    """The scopes that the caller does not have, for a sentence; a name that is no scope gives no right."""
    known = [scope for scope in scopes if scope in api_keys.SCOPES]
    return ", ".join(repr(scope) for scope in known if not caller().may(scope))


def _key_out(key: ApiKey) -> dict[str, Any]:
    return {
        "id": str(key.uid),
        "name": key.name,
        "user_id": key.user.name,
        "prefix": key.prefix,
        "scopes": key.scopes.split(),
        "created_at": timestamp(key.created_at),
        "revoked_at": timestamp(key.revoked_at),
    }
