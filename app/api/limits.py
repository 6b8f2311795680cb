"""The provider's limits: what applies, what is used, which jobs wait; and changing them for all workers."""

from typing import Any

from app.api.blueprint import Blueprint
from app.api.request_schemas import LimitsIn
from app.api.response_schemas import LimitGroupOut, LimitList
from app.core.accounts.api_keys import LIMITS, OPERATOR
from app.services import limits
from app.web.auth import caller, needs

blp = Blueprint("limits", "What the providers allow, across all workers.")

_GROUP = {"in": "path", "name": "group", "schema": {"type": "string"}, "example": "simulated"}


@blp.route("/limits", methods=["GET"])
@needs(LIMITS)
@blp.response(200, LimitList)
def list_limits() -> dict[str, Any]:
    """List the limit groups in use: by jobs of your tenant, or with the scope `operator` by anybody.

    What all tenants together use is shown only with `operator`.
    """
    return {"data": limits.describe_all(caller())}


@blp.route("/limits/<group>", methods=["PUT"], parameters=[_GROUP])
@needs(OPERATOR, 404)
@blp.arguments(LimitsIn, example={"requests_per_minute": 600, "max_concurrent_calls": 20})
@blp.response(200, LimitGroupOut)
def put_limits(figures: dict[str, Any], group: str) -> dict[str, Any]:
    """Set a group's limits, for all workers within a second.

    null returns a limit to its configured value. The provider's response headers may still lower it.
    """
    return limits.change(caller(), group, figures)
