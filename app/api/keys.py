"""API keys of the caller's tenant."""

from typing import Any

from flask import Response, request

from app.api.blueprint import Blueprint
from app.api.request_schemas import KeyIn
from app.api.response_schemas import KeyList, NewKeyOut
from app.core.accounts import api_keys
from app.core.json_text import timestamp
from app.errors import BadInput
from app.services import keys
from app.web import idempotency
from app.web.auth import caller, key_text, needs
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
    sending = idempotency.sending(request.headers)
    naming = None if sending is None or sending.key is None else _naming(sending.key)
    key, text = keys.create(
        caller(), name=asked["name"], user=asked["user_id"], scopes=asked["scopes"], naming=naming
    )
    return _key_out(key) | {"key": text}


@blp.route("/keys", methods=["GET"])
@needs(api_keys.KEYS)
@blp.response(200, KeyList)
def list_keys() -> dict[str, Any]:
    """List the tenant's keys, oldest first, including those that were revoked."""
    return {"data": [_key_out(key) for key in keys.list_all(caller())]}


@blp.route("/keys/<key_id>", methods=["DELETE"])
@needs(api_keys.KEYS, 404)
@blp.response(204)
def revoke_key(key_id: str) -> Response:
    """Revoke a key: it is rejected from now on, and what is open with it ends within seconds.

    A key can revoke only keys that have no scope beyond its own.
    """
    keys.revoke(caller(), key_id)
    return Response(status=204)


def _naming(name: str) -> api_keys.Naming:
    maker = key_text()
    if maker is None:
        raise BadInput("Idempotency-Key: creating a key with one requires a caller that has a key")
    return api_keys.Naming(maker, name)


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
