"""The tenant and user that a key acts for."""

from typing import Any

from app.api.blueprint import Blueprint
from app.api.response_schemas import MeOut
from app.core.accounts.api_keys import SCOPES
from app.web.auth import caller, needs

blp = Blueprint("me", "The tenant and user that a key acts for.")


@blp.route("/me", methods=["GET"])
@needs(None)
@blp.response(200, MeOut)
def get_me() -> dict[str, Any]:
    """Get the tenant and user that the key acts for."""
    me = caller()
    return {
        "tenant_id": str(me.tenant_uid),
        "tenant": me.tenant,
        "user_id": me.user,
        "key": me.prefix,
        "scopes": [scope for scope in SCOPES if scope in me.scopes],
    }
