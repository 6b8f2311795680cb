"""API keys of the caller's tenant."""

from collections.abc import Sequence
from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from app.api.blueprint import Blueprint, answer
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
@blp.arguments(KeyIn)
@blp.response(201, NewKeyOut)
def create_key(asked: dict[str, Any]) -> Response:
    """Create a key. Only this response shows it.

    Repeated by the same key with the same `Idempotency-Key`, the response is the same.
    """
    me, sending = caller(), idempotency.sending(request.headers)
    _check_own(asked["scopes"])
    wanted = {"name": asked["name"], "user": asked["user_id"], "scopes": asked["scopes"]}

    def work(session: Session) -> dict[str, Any]:
        if sending is None or sending.key is None:
            key, text = api_keys.create(session, me.tenant, **wanted)
        else:
            key, text = api_keys.create_once(session, me.tenant, _naming(sending.key), **wanted)
        return _key_out(key) | {"key": text}

    return answer(in_transaction(work), 201)


@blp.route("/keys", methods=["GET"])
@needs(api_keys.KEYS)
@blp.response(200, KeyList)
def list_keys() -> Response:
    """List the tenant's keys, oldest first, including those that were revoked."""
    with reading() as session:
        return answer({"data": [_key_out(key) for key in api_keys.list_keys(session, caller().tenant)]})


@blp.route("/keys/<key_id>", methods=["DELETE"])
@needs(api_keys.KEYS, 404)
@blp.response(204)
def revoke_key(key_id: str) -> Response:
    """Revoke a key: it is rejected from now on."""
    tenant_id = caller().tenant_id
    in_transaction(lambda session: api_keys.revoke(session, api_keys.find(session, tenant_id, key_id).prefix))
    return Response(status=204)


def _naming(name: str) -> api_keys.Naming:
    maker = key_text()
    if maker is None:
        raise BadInput("Idempotency-Key: creating a key with one requires a caller that has a key")
    return api_keys.Naming(maker, name)


def _check_own(scopes: Sequence[str]) -> None:
    """A key can grant only scopes that it has."""
    if beyond := [scope for scope in scopes if not caller().may(scope)]:
        raise Forbidden(
            f"the key {caller().prefix} does not have the scope {', '.join(beyond)} and cannot grant it"
        )


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
