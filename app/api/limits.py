"""The provider's limits: what applies, what is used, which jobs wait; and changing them for all workers."""

from functools import partial
from typing import Any

from flask import Response

from app.api.blueprint import Blueprint, answer
from app.api.request_schemas import LimitsIn
from app.api.response_schemas import LimitGroupOut, LimitList
from app.core.accounts.api_keys import LIMITS, READ
from app.core.limits import report
from app.web.auth import caller, needs
from models.session import in_transaction, reading

blp = Blueprint("limits", "What the providers allow, across all workers.")


@blp.route("/limits", methods=["GET"])
@needs(READ)
@blp.response(200, LimitList)
def list_limits() -> Response:
    """List the limit groups in use."""
    with reading() as session:
        return answer({"data": report.describe_all(session, caller().tenant_id)})


@blp.route("/limits/<group>", methods=["PUT"])
@needs(LIMITS, 404)
@blp.arguments(LimitsIn)
@blp.response(200, LimitGroupOut)
def put_limits(figures: dict[str, Any], group: str) -> Response:
    """Set a group's limits, for all workers within a second.

    null returns a limit to its configured value. The provider's response headers may still lower it.
    """
    in_transaction(partial(report.change, name=group, figures=figures))
    with reading() as session:
        return answer(report.describe(session, caller().tenant_id, group))
